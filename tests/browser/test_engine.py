"""The whole: a real browser, the real server, the real engine, a real (small) network."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import ROOT, Visit
from vizcore.ascent import ascend
from vizcore.engine.measuring import real_pictures
from vizcore.generate.names import open_generator
from vizcore.history import RunReader, decode
from vizcore.look.collections import collect
from vizcore.look.patches import patches
from vizcore.look.tally import Tally
from vizcore.ranking import judge
from vizcore.ruler import REAL, Order, Ruler
from vizcore.runs import Library
from vizcore.spec import Knobs
from vizcore.zoo.load import load

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Open = Callable[..., Visit]
# fp32 and one thread here and there, so that the engine's numbers can be computed again in this process.
ADDRESS = "?model=digits&layer=relu2&filters=0-3&size=64&precision=fp32&steps=4000"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of the real server's runs."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(library: Path) -> Iterator[str]:
    """Address of ``vizcore serve`` on the bundled digits."""
    command = [sys.executable, "-m", "vizcore", "serve", "--port", "0", "--json", "--model", "digits"]
    environment = {**os.environ, "VIZCORE_HOME": str(library), "VIZCORE_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"]
        process.terminate()
        process.communicate(timeout=60)  # reads to the end: the server says a word when it ends


def reader(library: Path, run: str) -> RunReader:
    """The run file behind the page."""
    return Library(library).open(run)


def opened(visit: Open, query: str = ADDRESS) -> Visit:
    here = visit()
    here.page.goto(here.address + query)
    here.until("s.kept >= 5 && s.shown !== null && location.search.includes(s.run)", 60)  # the address follows soon
    return here


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a state of the run file."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


def turn(here: Visit, name: str, presses: int) -> None:
    """Turn a knob with the arrow keys."""
    handle = here.page.get_by_test_id(f"control-{name}").locator(".noUi-handle")
    handle.focus()
    for _ in range(presses):
        here.page.keyboard.press("ArrowRight")


def test_every_slider_position_shows_its_stored_frame(visit: Open, library: Path) -> None:
    here = opened(visit)
    here.until("s.kept >= 40", 60)
    state = here.pause()
    file = reader(library, state["run"])
    for step in (0, 3, 17, state["latest"]):
        here.slide("history", step)
        here.until(f"Object.values(s.tiles).every((one) => one === {step})")
        for channel in (0, 3):
            stored = file.frame(step, channel)
            assert stored is not None
            assert stored.lossless
            shown = here.pixels(f"tile-canvas-{channel}")
            assert np.array_equal(shown, np.broadcast_to(decode(stored), shown.shape))
    file.close()


def test_a_turned_knob_is_logged_and_changes_the_course_from_its_step_on(visit: Open, library: Path) -> None:
    here = opened(visit, ADDRESS)
    step_when_turned = here.state()["latest"]
    turn(here, "jitter", 6)
    file = reader(library, here.state()["run"])
    spec = file.spec
    until(lambda: [value for _, _, value in file.knobs()][-1:] == [spec.jitter + 6])
    last = file.knobs()[-1][0]
    until(lambda: file.latest() >= last + 8)
    here.pause()
    log = file.knobs()
    steps, scores, _ = file.scores()
    file.close()
    assert {name for _, name, _ in log} == {"jitter"}
    first = log[0][0]
    assert first >= step_when_turned
    assert log[-1][2] == spec.jitter + 6

    network = load("digits")
    count = first + 6  # small differences grow from step to step: look at the ones around the turn

    def course(knobs: Knobs) -> np.ndarray:
        run = ascend(spec, network, knobs, keep=lambda step: False)
        return np.stack([next(run).scores for _ in range(count)])

    turned, unturned = course(Knobs(spec, log)), course(Knobs(spec))
    recorded = np.asarray(scores)[:count]
    assert steps[:count].tolist() == list(range(count))
    assert np.allclose(recorded[:first], unturned[:first], atol=5e-3)
    right, wrong = (np.abs(recorded[first:] - other[first:]).max() for other in (turned, unturned))
    assert right < 0.1 * wrong


def test_pause_is_within_a_step_and_step_is_one(visit: Open, library: Path) -> None:
    here = opened(visit)
    state = here.pause()
    file = reader(library, state["run"])
    at = file.latest()
    here.page.wait_for_timeout(300)
    assert file.latest() == at
    here.page.get_by_test_id("step").click()
    here.until(f"s.latest === {at + 1} && s.shown === {at + 1}")
    file.close()


def test_cold_changes_begin_a_new_run_and_keep_the_old(visit: Open, library: Path) -> None:
    here = opened(visit)
    before = here.state()["run"]
    field = here.page.get_by_test_id("control-filters").locator("input")
    field.fill("4-9")
    field.press("Tab")
    state = here.until(f"s.run !== {json.dumps(before)} && Object.keys(s.tiles).length === 6", 30)
    runs = {info.id: info for info in Library(library).list()}
    assert runs[before].channels == (0, 1, 2, 3)
    assert runs[state["run"]].channels == (4, 5, 6, 7, 8, 9)
    here.page.get_by_test_id("control-layer").locator("input").fill("relu1")
    here.page.keyboard.press("Enter")
    here.until(f"s.run !== {json.dumps(state['run'])} && s.kept > 2", 30)
    here.page.wait_for_function(
        "() => location.search.includes('layer=relu1')"
    )  # the address follows within half a second


@pytest.mark.parametrize(
    ("control", "text", "told"),
    [
        ("filters", "5-3", "backwards"),
        ("filters", "x", "'x'"),
        ("filters", "", "empty"),
        ("filters", "999", "999"),
        ("layer", "relu9", "relu9"),
        ("objective", "chanel", "chanel"),
    ],
)
def test_bad_input_is_told_and_the_last_picture_stays(visit: Open, control: str, text: str, told: str) -> None:
    here = opened(visit)
    before = here.state()["run"]
    field = here.page.get_by_test_id(f"control-{control}").locator("input")
    field.fill(text)
    field.press("Enter")
    notice = here.page.get_by_test_id("notice").first
    notice.wait_for(timeout=15_000)
    assert told in notice.inner_text()
    assert here.state()["run"] == before
    assert here.pixels("tile-canvas-0").std() > 1
    field.fill({"filters": "0-3", "layer": "relu2", "objective": "channel"}[control])
    field.press("Enter")


def test_a_reload_finds_the_run_again(visit: Open) -> None:
    here = opened(visit)
    state = here.pause()
    assert re.search(rf"run={state['run']}", here.page.url)
    here.page.reload()
    again = here.until(f"s.run === {json.dumps(state['run'])} && s.shown !== null", 30)
    assert again["latest"] == state["latest"]


def test_two_tabs_at_once(visit: Open) -> None:
    here = opened(visit)
    there = visit()
    there.page.goto(here.page.url)
    there.until(f"s.run === {json.dumps(here.state()['run'])} && s.shown !== null", 30)
    here.page.bring_to_front()
    end = here.pause()["latest"]
    there.page.bring_to_front()
    there.until(f"s.state === 'paused' && s.latest === {end}")
    other = opened(visit, ADDRESS.replace("filters=0-3", "filters=8"))
    assert other.state()["run"] != here.state()["run"]


def test_what_nobody_sees_rests(visit: Open, library: Path) -> None:
    here = opened(visit)
    run = here.state()["run"]
    here.page.close()
    file = reader(library, run)
    until(lambda: file.state == "resting")
    file.close()


def test_a_fork_with_nothing_changed_goes_the_parents_way_bit_for_bit(visit: Open, library: Path) -> None:
    here = opened(visit)
    here.until("s.kept >= 45", 60)
    parent = here.pause()["run"]
    here.slide("history", 20)
    here.until("s.shown === 20")
    here.page.keyboard.press("f")
    fork = here.until(f"s.run !== '{parent}' && s.latest >= 42", 60)["run"]
    here.pause()
    with reader(library, parent) as old, reader(library, fork) as new:
        assert (new.root, new.meta["parent"]) == (20, [parent, 20])
        for step in (4, 20, 33, 41):
            for channel in (0, 3):
                assert np.array_equal(decode(new.frame(step, channel)), decode(old.frame(step, channel))), step
    here.slide("history", 33)
    here.until("s.shown === 33")
    turn(here, "rate", 3)
    here.page.get_by_test_id("primary").click()
    here.until("s.latest >= 60", 60)
    with reader(library, fork) as new, reader(library, parent) as old:
        assert new.knobs() != old.knobs()


def test_a_step_that_was_thinned_out_is_computed_again_as_it_was(visit: Open, library: Path) -> None:
    here = opened(visit)
    here.until("s.kept >= 45", 60)
    run = here.pause()["run"]
    path = Library(library).path(run)
    with reader(library, run) as file:
        before = [decode(file.frame(37, channel)) for channel in (0, 1, 2, 3)]
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute("DELETE FROM frame WHERE id / 64 = 37")
        file.execute("DELETE FROM picture WHERE step = 37")
    here.page.reload()
    here.until(f"s.run === '{run}' && s.kept > 30", 60)
    here.page.get_by_test_id("step-number").click()
    here.page.get_by_test_id("goto-step").fill("37")
    here.page.keyboard.press("Enter")
    here.until("s.shown === 37", 60)
    for channel in (0, 3):
        shown = here.pixels(f"tile-canvas-{channel}")
        assert np.array_equal(shown, np.broadcast_to(before[channel], shown.shape))
    with reader(library, run) as file:
        assert all(np.array_equal(decode(file.frame(37, channel)), before[channel]) for channel in (0, 1, 2, 3))


def judged(work: Generator[Any, None, list[dict[str, Any]]]) -> dict[str, Any]:
    """The one row that it comes to."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            (row,) = end.value
            return row


def test_a_sweep_is_ranked_by_the_scores_of_its_pictures(visit: Open, library: Path) -> None:
    here = opened(visit)
    here.pause()
    here.page.get_by_test_id("sweep").click()
    here.page.get_by_test_id("values-1").fill("0, 2")
    here.page.get_by_test_id("axis-2").select_option("")
    here.page.get_by_test_id("sweep-steps").fill("20")
    here.page.get_by_test_id("sweep-begin").click()
    state = here.until(
        "s.sweep.tiles.length === 2 && s.sweep.tiles.every((t) => t.state === 'done' && t.judged === 20)", 90
    )
    network = load("digits")
    for tile, blur in zip(state["sweep"]["tiles"], (0, 2), strict=True):
        with reader(library, tile["run"]) as file:
            assert (file.spec.blur, file.spec.channels, file.spec.steps) == (blur, (0,), 20)
            row = judged(judge(file, network, 20))
        assert all(np.isclose(row[name], score, rtol=1e-3) for name, score in tile["scores"].items())
    best = max(state["sweep"]["tiles"], key=lambda tile: tile["scores"]["held_out"])
    assert best["place"] == "1"


def test_the_page_finds_the_patches_that_a_tally_finds(visit: Open, tmp_path: Path) -> None:
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 255, (7, 7, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((56, 56)).save(tmp_path / f"{i:02}.png")
    here = visit()
    query = {"page": "patches", "model": "digits", "layer": "relu2", "data": str(tmp_path), "channel": "1"}
    here.page.goto(f"{here.address}?{urllib.parse.urlencode(query)}")
    here.until("s.patches.pictures === 12 && !s.patches.busy", 60)
    here.page.get_by_test_id("patches-scan").click()
    told = here.until("s.patches.done === 12 && s.patches.held && !s.patches.asking && s.patches.loaded > 0", 60)[
        "patches"
    ]
    tally = Tally(load("digits"), collect(tmp_path), "relu2", keep=False)
    np.testing.assert_allclose(told["highest"], tally.run().values[:, 0], rtol=1e-4, atol=1e-5)
    found = patches(tally, 1)
    assert [one["name"] for one in told["held"]["patches"]] == [one.name for one in found]
    values = [one["value"] for one in told["held"]["patches"]]
    np.testing.assert_allclose(values, [one.value for one in found], rtol=1e-4)
    assert here.page.get_by_test_id("patch").locator("img").count() == 2 * len(found)


def test_the_page_measures_what_the_ruler_measures(visit: Open, tmp_path: Path) -> None:
    pictures = tmp_path / "real"
    pictures.mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 255, (28, 28), np.uint8)
        Image.fromarray(pixels).save(pictures / f"{number}.png")
    here = visit()
    page = here.page
    page.goto(f"{here.address}?page=generators&model=digits&ruler=")
    here.until("s.generators.model === 'digits' && s.generators.ruler.first !== null", 60)
    assert "No pictures of its kind are at hand" in page.get_by_test_id("ruler-missing").inner_text()
    page.get_by_test_id("generators-targets").fill("3, 8")
    page.get_by_test_id("generators-targets").press("Tab")
    for name in ("pixel", "maco", "paper3", "dgn-am"):
        page.get_by_test_id(f"ruler-{name}").uncheck()
    page.get_by_test_id("ruler-steps").fill("5")
    page.get_by_test_id("ruler-pictures").fill(str(pictures))
    page.get_by_test_id("ruler-measure").click()
    told = here.until("s.generators.ruler.state === 'done' && s.generators.ruler.plotted", 60)["generators"]
    assert told["ruler"]["methods"] == [REAL, "fourier", "ppgn"]
    assert told["begun"] == 0  # no codes walk behind the ruler

    # the numbers of the file are those of the ruler, and those of the page
    with page.expect_download() as saved:
        page.get_by_test_id("ruler-json").click()
    facts = json.loads(Path(saved.value.path()).read_text())
    network = load("digits")
    real, _ = real_pictures(str(pictures), network.card, 500)
    order = Order("", (3, 8), ("fourier", "ppgn"), 2, 5)
    ruler = Ruler(network, order, real, open_generator("digits-generator", network))
    for (method, _, lengths), row in zip(ruler.measure(), facts["table"], strict=True):
        assert row["method"] == method
        for column in ("activation", "nearest", "spectrum"):
            mean = float(np.mean([getattr(one, column) for one in lengths]))
            assert row[column] == pytest.approx(mean, rel=0.05)
        assert f"{row['nearest']:.1f}" in page.get_by_test_id(f"ruler-row-{method}").inner_text()
        tiles = page.get_by_test_id(f"ruler-tiles-{method}")
        tiles.scroll_into_view_if_needed()
        page.wait_for_function("(image) => image.complete", arg=tiles.element_handle())
        seeds = 1 if method == REAL else 2
        assert tiles.evaluate("(image) => [image.naturalWidth, image.naturalHeight]") == [170, 86 * seeds - 2]
    assert page.get_by_test_id("ruler-plot").locator("rect.bar").count() >= 3 * 5

    # a measurement is given up, which keeps what is there; the address shows it again, the walk comes back
    page.get_by_test_id("ruler-steps").fill("8000")
    page.get_by_test_id("ruler-measure").click()
    here.until("s.generators.ruler.state === 'running' && s.generators.ruler.methods.length === 1")
    page.get_by_test_id("ruler-measure").click()
    told = here.until("s.generators.ruler.state === 'stopped'")["generators"]["ruler"]
    here.until(f"location.search.includes('{told['id']}')")
    page.reload()
    here.until(f"s.generators.ruler.id === '{told['id']}' && s.generators.ruler.methods.length === 1")
    page.get_by_test_id("generators-ruler").click()
    here.until("!s.generators.ruler.open && s.generators.run")
    page.get_by_test_id("generators-run").click()
    here.until("s.generators.state === 'paused'")
