from scripts.site import staging


def test_the_new_site_takes_the_place_of_the_last_one(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "old.html").touch()
    staged = staging.folder_for(site)
    staged.mkdir()
    (staged / "new.html").touch()
    staging.publish(staged, site)
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert [path.name for path in site.iterdir()] == ["new.html"]
