import pytest
from markdown import Markdown

from scripts import artifacts
from scripts.clips import CLIPS
from scripts.site import clips, links
from tests.unit.make import PROGRAMME, note, notes

MODULE = """from scripts.clips import Sound, clip


@clip
def the_tone():
    return Sound([], 8000)
"""
LINK = "[Тон в 440 Гц](../../clips/tm-20/the-tone.mp3)"
USE = f"# T\n\n{LINK}\n*Слышно: ровный тон, полсекунды, громкость не меняется.*\n"


@pytest.fixture
def project(tmp_path):
    """A repository with one declared and made clip."""
    for folder in ("scripts/clips", "clips/tm-20"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "scripts/clips/tm_20.py").write_text(MODULE)
    for shared in CLIPS.shared:
        (tmp_path / shared).write_text("quality = 1\n")
    (clip,) = artifacts.declared(CLIPS, tmp_path)
    clip.file("mp3", tmp_path).write_bytes(b"ID3")
    artifacts.record(clip, tmp_path)
    return tmp_path


def messages(project, text=USE):
    return [str(problem) for problem in clips.check(notes(note(text)), project)]


def test_a_fresh_clip_with_its_transcript_has_no_problems(project):
    assert messages(project) == []


def test_a_link_to_a_clip_is_no_dead_link(tmp_path):
    assert links.check(notes(note(USE)), PROGRAMME, tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("the-tone", "no-tone", "missing clip"),
        ("\n*Слышно", "\n\n*Слышно", "stands on a line of its own with its transcript"),
        (LINK, f"Послушайте: {LINK}", "stands on a line of its own"),
        ("ровный тон, полсекунды, громкость не меняется", "тон", "transcript is shorter"),
    ],
)
def test_each_mistake_is_named_with_its_line(project, old, new, words):
    found = [message for message in messages(project, USE.replace(old, new)) if words in message]
    assert found and found[0].startswith("docs/tickets/01-first.md:3:")


def test_changed_code_makes_a_clip_stale_and_a_clip_without_a_page_is_a_problem(project):
    module = project / "scripts/clips/tm_20.py"
    module.write_text(MODULE.replace("8000", "16000"))
    assert "stale clip tm-20/the-tone: the code that makes it has changed; run `make figures`" in messages(project)[0]
    module.write_text(MODULE)
    assert "scripts/clips/tm_20.py:5: no page shows the clip tm-20/the-tone" in messages(project, "# T\n")[0]


def test_the_pair_becomes_a_player_that_waits_to_be_asked(project):
    html = Markdown(extensions=[clips.ClipExtension()]).convert(USE)
    html = clips.resolve_addresses(html, "theory-minimum/20-sound/")
    assert '<figure class="clip" id="clip-the-tone"><div class="clip__name">Тон в 440 Гц</div><audio ' in html
    assert 'src="../../clips/tm-20/the-tone.mp3"' in html
    assert 'preload="none"' in html and "autoplay" not in html
    assert "<figcaption>Слышно: ровный тон, полсекунды, громкость не меняется.</figcaption></figure>" in html


def test_other_links_stay_as_they_are():
    html = Markdown(extensions=[clips.ClipExtension()]).convert("[слово](01-first.md)\n*курсив*")
    assert "<figure" not in html
