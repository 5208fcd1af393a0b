"""Pictures of the documentation: ``python -m benchmarks.screenshot [ascent] [travel] [patches]``, into ``docs``."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.live import serving

DOCS = Path(__file__).parent.parent / "docs"
ZIP = "../shared/data/imagenette80.zip"  # real pictures beside the checkout
LONG = 300_000  # milliseconds
AT_STEP = "(step) => window.vizcore?.state?.().latest >= step"


def turn(page: Any, name: str, key: str, times: int) -> None:
    """Turn a knob with the arrow keys."""
    handle = page.get_by_test_id(f"control-{name}").locator(".noUi-handle")
    handle.focus()
    for _ in range(times):
        page.keyboard.press(key)
    handle.blur()


def pause(page: Any) -> None:
    """Stop the run, and wait until the classes of its last step are there."""
    page.get_by_test_id("primary").click()
    page.wait_for_function("() => window.vizcore.state().state === 'paused'")
    page.wait_for_timeout(4000)


def ascent(page: Any) -> None:
    """The page as it is in the middle of its first run, with a knob turned."""
    page.wait_for_function(AT_STEP, arg=100, timeout=LONG)
    turn(page, "rate", "ArrowLeft", 8)
    page.get_by_test_id("tile-canvas-10").click()
    page.wait_for_function(AT_STEP, arg=190, timeout=LONG)
    pause(page)


def travel(page: Any) -> None:
    """A fork without random moves beside the run that it left, and a sweep of one filter, ranked."""
    page.wait_for_function(AT_STEP, arg=120, timeout=LONG)
    page.get_by_test_id("tile-canvas-10").click()
    page.evaluate("vizcore.scrub(100)")
    page.wait_for_function("() => vizcore.state().shown === 100 && vizcore.state().selected === 10")
    page.keyboard.press("x")
    page.evaluate("vizcore.scrub(32)")
    page.wait_for_function("() => vizcore.state().shown === 32")
    parent = page.evaluate("vizcore.state().run")
    page.keyboard.press("f")
    page.wait_for_function(f"() => vizcore.state().run !== '{parent}' && vizcore.state().latest >= 32", timeout=LONG)
    for name in ("jitter", "scale", "rotate"):
        page.evaluate(f"vizcore.ask({{page: 'ascent', do: 'set', name: '{name}', value: 0}})")
    page.wait_for_function(AT_STEP, arg=100, timeout=LONG)
    page.get_by_test_id("primary").click()
    page.get_by_test_id("sweep").click()
    page.get_by_test_id("values-1").fill("0, 0.5, 1, 1.5")
    page.get_by_test_id("values-2").fill("0, 0.01, 0.05")
    page.get_by_test_id("sweep-steps").fill("96")
    page.get_by_test_id("sweep-begin").click()
    done = "() => vizcore.state().sweep.tiles.filter((one) => one.state === 'done' && one.place).length === 12"
    page.wait_for_function(done, timeout=LONG)
    page.evaluate("vizcore.scrub(100)")
    page.wait_for_timeout(4000)
    page.locator(".sweep-tile").filter(has=page.locator(".place.best")).click()


def patches(page: Any) -> None:
    """Channels of a layer after a pass over pictures, and one of them with deconvolutions."""
    query = {"page": "patches", "model": "imagenette-robust", "layer": "block2", "data": ZIP, "only": "/test/"}
    page.goto(f"{page.url.partition('?')[0]}?{urlencode(query)}")
    page.wait_for_function("() => vizcore.state().patches.pictures > 0 && !vizcore.state().patches.busy", timeout=LONG)
    page.get_by_test_id("patches-scan").click()
    whole = "({patches}) => patches.done === patches.pictures && !patches.busy"
    page.wait_for_function(f"() => ({whole})(vizcore.state())", timeout=LONG)
    page.get_by_test_id("patch-tile").nth(7).click()
    page.get_by_test_id("patch").nth(8).wait_for(timeout=LONG)
    page.wait_for_timeout(4000)


PICTURES = {"ascent": ascent, "travel": travel, "patches": patches}
WEBP = ("patches",)  # photographs, which are large as PNG


def main() -> None:
    """Those that are named, or all."""
    for name in sys.argv[1:] or PICTURES:
        with (
            tempfile.TemporaryDirectory() as home,
            serving(Path(home)) as (address, _),
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(f"{address}/app")
            PICTURES[name](page)
            taken = Image.open(io.BytesIO(page.screenshot()))
            if name in WEBP:
                taken.convert("RGB").save(DOCS / f"{name}.webp", quality=80, method=6)
            else:
                taken.save(DOCS / f"{name}.png", optimize=True)
            browser.close()


if __name__ == "__main__":
    main()
