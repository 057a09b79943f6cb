"""`python -m scripts.browser.screenshot`: the picture of the README, a wide light and a narrow dark window."""

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from scripts.browser import chromium
from scripts.browser.serving import SiteServer

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs/assets/images/screenshot.png"
PAGE = "tickets/01-backpropagation/"
FIGURE = "#fig-hand-graph"
HEIGHT = 760
WINDOWS = [
    {"color_scheme": "light", "viewport": {"width": 1040, "height": HEIGHT}},
    {"color_scheme": "dark", "viewport": {"width": 360, "height": HEIGHT}},
]
GAP = 16


def main() -> None:
    server = SiteServer()
    server.serve(ROOT / "site")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGUMENTS)
        shots = []
        for window in WINDOWS:
            page = browser.new_page(reduced_motion="reduce", **window)
            page.goto(server.url + PAGE, wait_until="networkidle")
            if window["viewport"]["width"] < 600:
                page.locator(FIGURE).evaluate("(figure) => figure.scrollIntoView({block: 'center'})")
            page.wait_for_load_state("networkidle")
            page.evaluate("document.fonts.ready")
            shots.append(Image.open(io.BytesIO(page.screenshot())))
        browser.close()
    server.shutdown()

    picture = Image.new("RGBA", (sum(shot.width for shot in shots) + GAP, HEIGHT))
    left = 0
    for shot in shots:
        picture.paste(shot, (left, 0))
        left += shot.width + GAP
    # A palette is enough for text and line drawings, and a third of the size.
    picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
