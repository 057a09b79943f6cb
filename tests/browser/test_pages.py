"""The page for missing addresses."""

from playwright.sync_api import expect


def test_missing_page(open_page, site_server):
    page = open_page()
    response = page.goto(site_server.url + "tickets/there-is-none/")
    assert response.status == 404
    expect(page.locator("h1")).to_have_text("Такой страницы нет")
    page.locator("main").get_by_role("link", name="Билеты").click()
    expect(page).to_have_url(site_server.url + "tickets/")
