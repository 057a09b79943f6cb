"""`python -m scripts.figures [--all] [PAGE or PAGE/NAME …]`: draw the stale figures, or all of the named ones."""

from scripts import artifacts
from scripts.figures import FIGURES, drawing

if __name__ == "__main__":
    artifacts.command(FIGURES, drawing.draw)
