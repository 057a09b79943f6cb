"""Vendor one release of KaTeX: the stylesheet and fonts the pages use, and the scripts the build runs.

    python -m scripts.vendor_katex 0.19.1

Takes the package from npm (`npm pack`, so npm checks its integrity) and replaces two directories:

- `docs/assets/katex/`: katex.css, fonts/*.woff2, copy-tex.min.js, LICENSE (published with the site);
- `vendor/katex/`: katex.min.js, auto-render.min.js, LICENSE, VERSION (used while building, never published).

The stylesheet keeps woff2 sources only: every browser that can show the site reads them. Fonts keep KaTeX's own
`font-display: block` rather than `swap`: for the first moment a formula is blank instead of being set in a text font,
where a calligraphic L looks like an ordinary one, which in mathematics is another symbol.
"""

import argparse
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "docs" / "assets" / "katex"
BUILD_ONLY = ROOT / "vendor" / "katex"

# One further source of a font face: `,url(fonts/X.woff) format("woff")` and the same with ttf.
OLD_SOURCE = re.compile(r',\s*url\([^)]*\.(?:woff|ttf)\)\s*format\("[^"]*"\)')


def fetch(version: str, directory: Path) -> Path:
    """Download the package into `directory` and unpack it; return the unpacked package."""
    subprocess.run(
        ["npm", "pack", f"katex@{version}", "--silent"], cwd=directory, check=True, stdout=subprocess.DEVNULL
    )
    (archive,) = directory.glob("katex-*.tgz")
    with tarfile.open(archive) as package:
        package.extractall(directory, filter="data")
    return directory / "package"


def woff2_only(css: str) -> str:
    """The stylesheet without woff and ttf sources; fails if KaTeX's format has changed."""
    stripped = OLD_SOURCE.sub("", css)
    if re.search(r"\.(?:woff|ttf)\)", stripped) or ".woff2)" not in stripped:
        raise ValueError("katex.min.css lists its fonts in a way this script does not know")
    return stripped


def vendor(package: Path, version: str) -> None:
    """Replace both directories with what `package` holds."""
    dist = package / "dist"
    for directory in (PUBLISHED, BUILD_ONLY):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        shutil.copyfile(package / "LICENSE", directory / "LICENSE")

    (PUBLISHED / "fonts").mkdir()
    for font in sorted((dist / "fonts").glob("*.woff2")):
        shutil.copyfile(font, PUBLISHED / "fonts" / font.name)
    css = woff2_only((dist / "katex.min.css").read_text("utf-8"))
    header = (
        f"/* KaTeX {version}, MIT licence. Written by scripts/vendor_katex.py, which also says why; do not edit. */\n"
    )
    (PUBLISHED / "katex.css").write_text(header + css, "utf-8")
    shutil.copyfile(dist / "contrib" / "copy-tex.min.js", PUBLISHED / "copy-tex.min.js")

    shutil.copyfile(dist / "katex.min.js", BUILD_ONLY / "katex.min.js")
    shutil.copyfile(dist / "contrib" / "auto-render.min.js", BUILD_ONLY / "auto-render.min.js")
    (BUILD_ONLY / "VERSION").write_text(version + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", help="exact version, for instance 0.19.1")
    version = parser.parse_args().version
    with tempfile.TemporaryDirectory() as directory:
        vendor(fetch(version, Path(directory)), version)
    print(f"KaTeX {version}: {PUBLISHED.relative_to(ROOT)}, {BUILD_ONLY.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
