import pytest

from scripts.site.problems import ContentError
from tests.unit.make import note

TEXT = """---
id: ticket-01
---

# Title

See [a](x.md#b) and ![alt text](../../figures/p/n.svg).

```python
# not a heading
[not](a-link.md)
```

## Part `[no](link.md)` {#part}

??? question "Why?"
    [inside](y.md)

<!-- [hidden](z.md) -->
"""


def test_headings_have_levels_ids_and_lines():
    found = [(h.level, h.id, h.line) for h in note(TEXT).headings]
    assert found == [(1, None, 5), (2, "part", 14)]


def test_links_and_images_skip_code_and_comments():
    parsed = note(TEXT)
    assert [(link.target, link.line, link.column) for link in parsed.links] == [("x.md#b", 7, 5), ("y.md", 17, 5)]
    assert [(image.text, image.target) for image in parsed.images] == [("alt text", "../../figures/p/n.svg")]


def test_offsets_survive_blanking():
    parsed = note(TEXT)
    assert len(parsed.without_code) == len(parsed.prose) == len(parsed.text)
    assert parsed.without_code.count("\n") == parsed.text.count("\n")


def test_prose_is_without_formulas():
    parsed = note("# T\n\nLet $x+1$ be\n\n$$\ny\n$$\n\nhere, 5 cents.\n")
    assert "x+1" not in parsed.prose and "y" not in parsed.prose.replace("here", "")
    assert "here" in parsed.prose


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('---\nid: x\nquestion: "a" b\n---\n', "docs/n.md:3:15", "broken front matter"),
        ("---\nid: x\n", "docs/n.md:1", "not closed"),
        ("---\n- a\n- b\n---\n", "docs/n.md:2", "key: value"),
    ],
)
def test_broken_front_matter_names_its_place(text, place, words):
    with pytest.raises(ContentError) as error:
        note(text, "n.md")
    assert str(error.value).startswith(place + ":")
    assert words in str(error.value)
