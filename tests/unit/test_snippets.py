import pytest

from scripts.site import snippets
from tests.unit.make import note, notes


@pytest.fixture
def root(tmp_path):
    (tmp_path / "code.py").write_text("# --8<-- [start:part]\nx = 1\n# --8<-- [end:part]\n")
    return tmp_path


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("code.py:part", None),
        ("code.py", None),
        ("other.py:part", "there is no other.py"),
        ("code.py:whole", "has no section `whole`"),
    ],
)
def test_code_is_taken_from_an_existing_section(root, target, words):
    problems = snippets.check(notes(note(f'# T\n\n```python\n--8<-- "{target}"\n```\n')), root)
    if words is None:
        assert problems == []
    else:
        assert str(problems[0]).startswith("docs/tickets/01-first.md:4: ") and words in str(problems[0])
