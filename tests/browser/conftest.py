"""A real browser at a server of synthetic runs; every page must stay silent and at home."""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vizcore.history import entries, schema
from vizcore.runs import Library

sync_api = pytest.importorskip("playwright.sync_api")

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
ROOT = Path(__file__).parents[2]
PAUSED = "s.state === 'paused' && s.latest >= s.step && s.latest === s.shown"
PACE = 0.06  # seconds a step: slow, so that a test sees what it asked for


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of the server's runs."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def server(library: Path) -> Iterator[str]:
    """Address of a dashboard whose engine is synthetic."""
    command = [sys.executable, "-m", "tests.app.fake_server", "--port", "0", "--pace", str(PACE)]
    command += ["--home", str(library)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), "the server did not start"
        yield address
        process.kill()  # runs are synthetic: nothing to be saved


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium: the system's, else Playwright's own."""
    with sync_api.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        except sync_api.Error as error:
            reason = f"no browser can be started ({str(error).splitlines()[0]})"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        yield found
        found.close()


class Visit:
    """A page, with the words for what tests do to it."""

    def __init__(self, page: Any, address: str, library: Path) -> None:
        self.page, self.address, self.library = page, address, Library(library)
        self.noise: list[str] = []  # what no page should ever say
        self.home = address.rsplit("/", 1)[0]
        page.on("pageerror", lambda error: self.noise.append(f"error: {error}"))
        page.on("console", lambda said: said.type == "error" and self.noise.append(f"console: {said.text}"))
        page.on("request", self._at_home)

    def _at_home(self, request: Any) -> None:
        if not request.url.startswith((self.home, "data:", "blob:")):
            self.noise.append(f"request to {request.url}")

    def open(self, query: str = "", frames: int = 5) -> Visit:
        """Load the page and wait until the run has that many pictures."""
        self.page.goto(self.address + query)
        if frames:
            self.until(f"s.kept >= {frames} && s.shown !== null")
        return self

    def state(self) -> dict[str, Any]:
        """What the page says of itself."""
        return self.page.evaluate("vizcore.state()")

    def until(self, condition: str, seconds: float = 15) -> dict[str, Any]:
        """Wait for a condition on the state ``s``."""
        code = f"() => {{ const s = window.vizcore?.state?.(); return s && ({condition}) }}"
        self.page.wait_for_function(code, timeout=1000 * seconds)
        return self.state()

    def pause(self) -> dict[str, Any]:
        """Pause, and wait until the last picture is up."""
        self.page.get_by_test_id("primary").click()
        return self.until(PAUSED)

    def edit(self, run: str, query: str, *values: object) -> None:
        """Change a run file behind the server's back, which tells the page: nothing undoes what a test pretends."""
        with schema.editing(self.library.path(run)) as connection:
            connection.execute(query, values)

    def thin(self, run: str, steps: Iterable[int]) -> None:
        """Take the pictures of ``steps`` out of the run file, and wait until the page knows."""
        gone = list(steps)
        with schema.editing(self.library.path(run)) as connection:
            entries.drop(connection, gone)
        self.until(f"!s.steps.some((step) => {gone}.includes(step))")

    def slide(self, name: str, step: int) -> None:
        """Move a history slider as a hand does."""
        move = "(node, step) => { node.value = step; node.dispatchEvent(new Event('input', {bubbles: true})) }"
        self.page.get_by_test_id(name).evaluate(move, step)

    def pixels(self, name: str) -> np.ndarray:
        """What is on a canvas: int16 [H, W, 3]."""
        code = """(canvas) => {
          const {width, height} = canvas
          const data = canvas.getContext("2d").getImageData(0, 0, width, height).data
          let text = ""
          for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192))
          return [width, height, btoa(text)]
        }"""
        width, height, text = self.page.get_by_test_id(name).evaluate(code)
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3].astype(np.int16)

    def stored(self, run: str, step: int, channel: int) -> tuple[np.ndarray, str]:
        """The picture that the server has, decoded by Pillow, and its format."""
        with urllib.request.urlopen(f"{self.home}/frames/{run}/{step}/{channel}") as answer:
            image = Image.open(io.BytesIO(answer.read()))
        return np.asarray(image.convert("RGB")).astype(np.int16), str(image.format)


@pytest.fixture(scope="session")
def context(browser: Any) -> Any:
    """One profile for all pages: Bokeh's scripts are read once, which is most of the time that a page takes."""
    return browser.new_context(viewport={"width": 1280, "height": 800})


@pytest.fixture
def visit(browser: Any, context: Any, server: str, library: Path) -> Iterator[Callable[..., Visit]]:
    """Opens pages; afterwards none may have complained or asked another host for anything."""
    visits: list[Visit] = []

    def make(**options: Any) -> Visit:
        profile = browser.new_context(**options) if options else context
        visits.append(Visit(profile.new_page(), server, library))
        return visits[-1]

    yield make
    noise = [line for one in visits for line in one.noise]
    for one in visits:
        if not one.page.is_closed():
            one.page.evaluate("localStorage.clear()")
            one.page.close()
    assert not noise
