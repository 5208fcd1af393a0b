"""What cannot be, in a real browser at a real engine: a banner says why and what to do, and the last picture stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from tests.browser.conftest import ROOT, Visit
from vizcore.history import decode
from vizcore.zoo.load import load

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ARCH = "squeezenet1_1"
ADDRESS = "?layer=features.9&filters=0-1&size=64&pad=0&precision=fp32&steps=4000"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights."""
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_file(dict(load(ARCH, weights="random").module.state_dict()), path)
    return path


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[str]:
    """``vizcore serve`` behind a proxy that does not answer; its address."""
    command = [sys.executable, "-m", "vizcore", "serve", "--port", "0", "--json", *arguments]
    dead = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    environment = {**os.environ, **dead, "VIZCORE_HOME": str(home), "VIZCORE_THREADS": "1", "NO_PROXY": ""}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()
            process.communicate(timeout=60)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context.new_page()
    context.close()


def banner(here: Visit, words: str) -> Any:
    """The notice with these words, which is an error with a remedy."""
    shown = here.page.locator(".notice.error", has_text=words)
    shown.wait_for(timeout=60_000)
    assert shown.locator(".remedy").inner_text()
    return shown


def test_a_size_that_is_too_small_and_a_deletion_that_is_undone(page: Any, weights: Path, home: Path) -> None:
    with serving(home, "--model", str(weights), "--arch", ARCH) as address:
        here = Visit(page, address, home)
        page.goto(address + ADDRESS)
        run = here.until("s.kept >= 4 && s.shown !== null", 90)["run"]
        handle = page.get_by_test_id("control-size").locator(".noUi-handle")
        handle.focus()
        handle.press("Home")  # 16 px
        shown = banner(here, "too small")
        assert "features.9" in shown.inner_text()
        assert here.state()["run"] == run
        assert here.pixels("tile-canvas-0").std() > 1
        shown.get_by_test_id("notice-action").click()  # Undo
        page.wait_for_function("(node) => node.getAttribute('aria-valuenow') === '64.0'", arg=handle.element_handle())
        last = here.until("s.state === 'running' && s.latest > 4")["latest"]
        here.until(f"s.latest > {last}")  # it has gone on

        here.pause()
        with here.library.open(run) as reader:
            before = [decode(frame) for frame in reader.frames(3)]
        page.get_by_test_id("tab-library").click()
        row = page.locator(f".run[data-run='{run}']")
        row.click()
        page.get_by_test_id("library-delete").click()
        row.wait_for(state="detached")
        assert run not in [info.id for info in here.library.list()]
        page.get_by_test_id("notice-action").click()  # Undo
        row.wait_for()
        row.dblclick()
        here.until(f"s.page === 'ascent' && s.run === '{run}' && s.shown !== null", 60)
        here.slide("history", 3)
        here.until("s.shown === 3")
        assert np.abs(here.pixels("stage-canvas") - before[0]).max() == 0  # 64 px: stored without loss
        here.page.get_by_test_id("primary").click()
        here.until(f"s.state === 'running' && s.latest > {last}", 60)  # and can go on
        assert here.noise == []


def test_torn_weights_and_a_download_that_fails_leave_a_page_that_works(
    page: Any, weights: Path, home: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(weights.read_bytes()[:100_000])
    with serving(home, "--model", str(torn), "--arch", ARCH) as address:
        here = Visit(page, address, home)
        page.goto(address + "?filters=0-1&size=32&steps=4000")
        state = here.until("s.kept >= 4 && s.shown !== null", 90)
        shown = banner(here, "torn.safetensors")
        text = shown.inner_text()
        assert "Meanwhile this is imagenette-robust" in text
        assert str(tmp_path) not in text
        assert here.pixels("tile-canvas-0").std() > 1

        choice = page.get_by_test_id("control-model").locator("select")
        choice.select_option("resnet18")
        for _ in range(2):
            shown = banner(here, "resnet18")
            again = shown.get_by_test_id("notice-action")
            assert again.inner_text() == "Try again"
            assert here.state()["run"] == state["run"]
            assert here.pixels("tile-canvas-0").std() > 1
            page.wait_for_function("(node) => node.value === 'imagenette-robust'", arg=choice.element_handle())
            again.click()
            shown.wait_for(state="detached")
        banner(here, "resnet18")
        last = here.state()["latest"]
        here.until(f"s.run === '{state['run']}' && s.latest > {last}")
        assert here.noise == []
