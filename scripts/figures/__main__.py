"""`python -m scripts.figures [--all] [PAGE or PAGE/NAME …]`: draw the stale figures, or all of the named ones."""

import argparse

from scripts.figures import drawing, freshness


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the figures whose code has changed since they were drawn.")
    parser.add_argument("--all", action="store_true", help="draw fresh figures too")
    parser.add_argument("targets", nargs="*", metavar="PAGE[/NAME]", help="only these, e.g. ticket-01/hand-graph")
    options = parser.parse_args()

    declared = freshness.declared_figures()
    targets = set(options.targets)
    unknown = targets - {f.page for f in declared} - {f"{f.page}/{f.name}" for f in declared}
    if unknown:
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    for figure in declared:
        if targets and not targets & {figure.page, f"{figure.page}/{figure.name}"}:
            continue
        reason = "asked to" if options.all else freshness.why_stale(figure)
        if reason:
            print(f"drawing {figure.page}/{figure.name}: {reason}", flush=True)
            drawing.draw(figure)
    # Only when all pages are drawn: a module that is being edited elsewhere may lack its functions for a moment.
    for path in [] if targets else drawing.remove_orphans(declared):
        print(f"removed {path.relative_to(freshness.ROOT)}: no function draws it")


if __name__ == "__main__":
    main()
