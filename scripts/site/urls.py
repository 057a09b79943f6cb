"""Addresses below the site's root."""

import posixpath


def relative_url(base: str, target: str) -> str:
    """The address of `target` as seen from the page `base`; both are addresses below the site's root."""
    relative = posixpath.relpath("/" + target, "/" + posixpath.dirname(base))
    return relative + "/" if target.endswith("/") or not target else relative
