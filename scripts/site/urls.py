"""Addresses below the site's root."""

import posixpath
from urllib.parse import urlsplit


def relative_url(base: str, target: str) -> str:
    """The address of `target` as seen from the page `base`; both are addresses below the site's root."""
    relative = posixpath.relpath("/" + target, "/" + posixpath.dirname(base))
    return relative + "/" if target.endswith("/") or not target else relative


def is_external(target: str) -> bool:
    return bool(urlsplit(target).scheme)


def resolve(uri: str, target: str) -> tuple[str, str]:
    """The uri inside docs/ and the anchor that a relative `target` in the note `uri` means; both may be empty."""
    path, _, anchor = target.partition("#")
    return posixpath.normpath(posixpath.join(posixpath.dirname(uri), path)) if path else uri, anchor


def page_url(uri: str) -> str:
    """The address of the note `uri`; of a file that is no page, its own."""
    stem, ending = posixpath.splitext(uri)
    if ending not in (".md", ".ipynb"):
        return uri
    return stem.removesuffix("index") if posixpath.basename(stem) == "index" else stem + "/"


def site_url(uri: str, target: str) -> str:
    """The address below the site's root that a relative `target` in the note `uri` means."""
    resolved, anchor = resolve(uri, target)
    # What stands beside docs/ in the repository (drawings, clips) is published at the root.
    return page_url(resolved.removeprefix("../")) + (f"#{anchor}" if anchor else "")
