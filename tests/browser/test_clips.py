"""Sound clips: nothing is loaded before the reader asks, and then the browser can play it."""

from playwright.sync_api import Page

DURATION = """(player) => new Promise((resolve, reject) => {
  player.onloadedmetadata = () => resolve(player.duration);
  player.onerror = () => reject(new Error(player.error.message));
  player.preload = "metadata";
  player.load();
})"""


def with_clips(built_site, questions: list[str]) -> list[str]:
    return [address for address in questions if "<audio" in (built_site / address / "index.html").read_text("utf-8")]


def test_every_clip_can_be_played_and_waits_to_be_asked(open_page, built_site, questions, subtests):
    addresses = with_clips(built_site, questions)
    assert len(addresses) >= 3
    for address in addresses:
        with subtests.test(address):
            expect_quiet_players(open_page(address))


def expect_quiet_players(page: Page) -> None:
    loaded = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert not any(name.endswith(".mp3") for name in loaded)
    for player in page.locator("audio").all():
        assert player.get_attribute("preload") == "none"
        assert player.get_attribute("autoplay") is None
        assert player.get_attribute("aria-label")
        assert player.locator("xpath=following-sibling::figcaption").text_content().strip()
        assert player.evaluate(DURATION) > 0.2
