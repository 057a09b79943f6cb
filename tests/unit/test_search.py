import json

from scripts.site import search


def test_the_index_is_the_same_but_in_utf8(tmp_path):
    index = {"docs": [{"title": "Градиент", "text": "<p>x</p>"}]}
    path = tmp_path / search.INDEX
    path.parent.mkdir()
    path.write_text(json.dumps(index))
    before = path.stat().st_size
    search.rewrite_as_utf8(tmp_path)
    assert json.loads(path.read_text(encoding="utf-8")) == index
    assert "Градиент" in path.read_text(encoding="utf-8") and path.stat().st_size < before
