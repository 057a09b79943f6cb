from scripts.site import sections


def test_each_second_level_heading_begins_a_section():
    page = '<h1 id="_1">T</h1><p>a</p><h2 id="x">X</h2><p>b</p><h3 id="y">Y</h3><h2 id="z">Z</h2>'
    assert sections.wrap(page) == (
        '<h1 id="_1">T</h1><p>a</p>'
        '<section class="part"><h2 id="x">X</h2><p>b</p><h3 id="y">Y</h3></section>\n'
        '<section class="part"><h2 id="z">Z</h2></section>\n'
    )


def test_a_page_without_parts_stays_as_it_is():
    assert sections.wrap("<h1>T</h1>") == "<h1>T</h1>"
