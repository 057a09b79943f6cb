"""A build goes to a folder of its own and takes the place of the last one only when it has succeeded."""

import shutil
from pathlib import Path


def folder_for(site: Path) -> Path:
    """Where the build of `site` is made; beside it, so that the swap is a rename on one file system."""
    return site.with_name(f".{site.name}.staging")


def publish(staging: Path, site: Path) -> None:
    """Put the finished build in the place of the last one."""
    previous = site.with_name(f".{site.name}.previous")
    shutil.rmtree(previous, ignore_errors=True)
    if site.exists():
        site.rename(previous)
    staging.rename(site)
    shutil.rmtree(previous, ignore_errors=True)
