"""Take the pictures of the documentation: ``python -m benchmarks.screenshot``; writes ``docs/ascent.png``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.live import serving

DOCS = Path(__file__).parent.parent / "docs"


def main() -> None:
    """The page as it is in the middle of its first run, with a knob turned."""
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{address}/app")
        wait = "(step) => window.vizcore?.state?.().latest >= step"
        page.wait_for_function(wait, arg=100, timeout=240_000)
        handle = page.get_by_test_id("control-rate").locator(".noUi-handle")
        handle.focus()
        for _ in range(8):
            page.keyboard.press("ArrowLeft")
        handle.blur()
        page.get_by_test_id("tile-canvas-10").click()
        page.wait_for_function(wait, arg=190, timeout=240_000)
        page.get_by_test_id("primary").click()
        page.wait_for_function("() => window.vizcore.state().state === 'paused'")
        page.wait_for_timeout(4000)  # the classes of the last step
        page.screenshot(path=DOCS / "ascent.png")
        browser.close()


if __name__ == "__main__":
    main()
