"""`python -m scripts.clips [--all] [PAGE or PAGE/NAME …]`: make the stale sound clips, or all of the named ones."""

import importlib

from scripts import artifacts
from scripts.artifacts import Artifact
from scripts.clips import CLIPS, encoding


def make(artifact: Artifact) -> None:
    module = importlib.import_module(f"scripts.clips.{artifact.module.stem}")
    encoding.write(getattr(module, artifact.function)(), artifact.file("mp3"))


if __name__ == "__main__":
    artifacts.command(CLIPS, make)
