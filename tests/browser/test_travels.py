"""Forking, comparing, sweeping, pinning, taking along and bringing back, by hand in a real browser."""

from __future__ import annotations

import io
import json
import time
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import Visit
from vizcore.export import read_recipe
from vizcore.history import Pin, RunReader

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]


def told(here: Visit, run: str) -> dict[str, object]:
    """What the server knows of a run file."""
    with urllib.request.urlopen(f"{here.home}/runs/{run}") as answer:
        return json.loads(answer.read())


def at(here: Visit, step: int) -> None:
    here.slide("history", step)
    here.until(f"s.shown === {step}")


def test_a_fork_leaves_at_the_shown_step(visit: Open) -> None:
    here = visit().open(frames=16)
    parent = here.pause()["run"]
    at(here, 9)
    before = here.pixels("stage-canvas")
    here.page.keyboard.press("f")
    state = here.until(f"s.run !== '{parent}' && s.kept > 11 && s.family.root === 9")
    assert told(here, state["run"])["steps"][0][0] == 0  # the parent's steps are the fork's too
    at(here, 5)
    mine, codec = here.stored(state["run"], 5, 0)
    parents, _ = here.stored(parent, 5, 0)
    assert np.array_equal(mine, parents)
    assert np.abs(here.pixels("stage-canvas") - mine).max() <= (0 if codec == "WEBP" else 2)
    at(here, 9)
    assert np.abs(here.pixels("stage-canvas") - before).max() <= 2  # the same start
    here.page.get_by_test_id("junction-root").click()
    state = here.until(f"s.run === '{parent}' && s.family.forks.length === 1")
    assert state["family"]["forks"][0][0] == 9


@pytest.mark.parametrize("script", ["", "delete window.ImageDecoder"], ids=["bytes", "blobs"])
def test_a_and_b_under_the_divider_side_by_side_and_what_differs(visit: Open, script: str) -> None:
    here = visit()
    here.page.add_init_script(script)  # in some browsers pictures are decoded in another way
    here.open(frames=14)
    run = here.pause()["run"]
    at(here, 3)
    here.page.keyboard.press("x")
    here.until("s.b && s.b.drawn && s.b.step === 3")
    at(here, 12)
    stored, _ = here.stored(run, 3, 0)
    assert np.abs(here.pixels("stage-b") - stored).max() <= 2
    here.page.get_by_test_id("b-step").fill("7")
    here.page.keyboard.press("Tab")
    here.page.get_by_test_id("b-filter").select_option("2")
    here.until("s.b.drawn && s.b.step === 7 && s.b.channel === 2")
    other, _ = here.stored(run, 7, 2)
    assert np.abs(here.pixels("stage-b") - other).max() <= 2
    here.page.get_by_test_id("view-side").click()
    boxes = [here.page.get_by_test_id(name).bounding_box() for name in ("stage-canvas", "stage-b")]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"] + 1
    here.page.get_by_test_id("view-difference").click()
    here.page.wait_for_function("() => document.getElementById('difference').textContent !== ''")
    difference = here.pixels("stage-canvas") - here.pixels("stage-b")
    expected = np.clip(128 + difference, 0, 255)
    assert np.abs(here.pixels("stage-d") - expected).max() <= 1
    mean = float(here.page.get_by_test_id("difference").inner_text().split()[4])
    assert abs(mean - np.abs(difference).mean()) < 0.06
    here.page.keyboard.press("x")
    here.until("s.b === null")
    assert not here.page.get_by_test_id("compare").is_visible()


def test_the_address_brings_back_what_was_looked_at(visit: Open) -> None:
    here = visit().open("?filters=3-6&size=64&seed=5", frames=12)
    run = here.pause()["run"]
    at(here, 4)
    here.page.keyboard.press("x")
    at(here, 9)
    here.page.get_by_test_id("tile-5").get_by_role("button").click()
    here.page.get_by_test_id("view-side").click()
    here.page.wait_for_function(
        "() => [/b=[^&]+,3,4/, /view=side/, /step=9/, /filter=5/].every((part) => part.test(location.search))"
    )
    address = here.page.evaluate("location.search")
    asked = dict(urllib.parse.parse_qsl(address[1:]))
    assert (asked["run"], asked["layer"], asked["filters"], asked["seed"]) == (run, "block2", "3-6", "5")
    other = visit()
    other.page.goto(other.address + address)
    state = other.until(f"s.run === '{run}' && s.shown === 9 && s.selected === 5 && s.b?.drawn")
    assert (state["b"]["run"], state["b"]["channel"], state["b"]["step"], state["b"]["view"]) == (run, 3, 4, "side")
    stored, _ = here.stored(run, 4, 3)
    assert np.abs(other.pixels("stage-b") - stored).max() <= 2


@pytest.mark.parametrize(
    ("query", "words"),
    [("?page=nowhere", "no page"), ("?run=x&b=y,z", "no such run"), ("?filters=0-3&step=abc&filter=-1", "step=abc")],
)
def test_an_address_with_nonsense_gets_a_notice(visit: Open, query: str, words: str) -> None:
    here = visit()
    here.page.goto(here.address + query)
    notice = here.page.get_by_test_id("notice").first
    notice.wait_for(timeout=15000)
    assert words in notice.inner_text()


def test_a_pin_is_of_a_filter_or_of_all_and_is_there_after_a_reload(visit: Open) -> None:
    here = visit().open("?filters=0-3&size=64", frames=12)
    run = here.pause()["run"]
    at(here, 6)
    here.page.keyboard.press("p")
    here.page.get_by_test_id("pin-note").fill("first rings")
    here.page.keyboard.press("Enter")
    here.page.keyboard.press("Escape")
    here.until("s.pins[6] === 'first rings'")
    pinned = here.page.get_by_test_id("filmstrip").locator(".frame.pinned")
    until_in_the_file(here, run, [Pin(6, 0, "first rings")])
    here.page.goto(f"{here.address}?run={run}")
    here.until("s.shown !== null && s.pins[6] === 'first rings'")
    assert pinned.inner_text().strip() == "first rings"
    marks = "(node) => [node.title, node.style.getPropertyValue('--pins').includes('var(--vz-fg)')]"
    slider, other = (here.page.get_by_test_id(f"tile-slider-{channel}") for channel in (0, 2))
    assert slider.evaluate(marks) == ["Pinned: step 6 first rings", True]
    assert other.evaluate(marks) == ["", False]
    here.page.get_by_test_id("tile-2").get_by_role("button").click()
    here.until("s.selected === 2 && Object.keys(s.pins).length === 0")  # it is another filter's
    pinned.wait_for(state="detached")
    here.page.get_by_test_id("tile-0").get_by_role("button").click()
    pinned.click()
    here.until("s.shown === 6 && s.selected === 0")
    here.page.get_by_test_id("pin-all").check()
    until_in_the_file(here, run, [Pin(6, None, "first rings")])
    here.page.get_by_test_id("tile-2").get_by_role("button").click()
    here.until("s.selected === 2 && s.shown === 6 && s.stage.channel === 2 && s.pins[6] === 'first rings'")
    assert other.evaluate(marks) == ["Pinned: step 6 first rings", True]
    here.page.keyboard.press("p")
    here.until("s.allPins.length === 0")
    until_in_the_file(here, run, [])
    # While the run goes on, the form stays with the step that was pinned.
    here.page.get_by_test_id("live").click()
    here.page.get_by_test_id("primary").click()
    here.until("s.state === 'running' && s.live")
    here.page.keyboard.press("p")
    step = here.until("s.allPins.length === 1 && s.shown > s.allPins[0][0]")["allPins"][0][0]
    assert here.page.get_by_test_id("pin-step").inner_text() == f"step {step}"
    here.page.get_by_test_id("pin-note").fill("on the way")
    here.page.keyboard.press("Enter")
    here.page.get_by_test_id("pin-all").check()
    until_in_the_file(here, run, [Pin(step, None, "on the way")])


def until_in_the_file(here: Visit, run: str, pins: list[Pin]) -> None:
    """Wait until the run file has these pins."""
    with here.library.open(run) as reader:
        end = time.monotonic() + 15
        while reader.pins() != pins:
            assert time.monotonic() < end, reader.pins()
            time.sleep(0.05)


def test_a_fork_with_another_objective_by_hand(visit: Open) -> None:
    here = visit().open("?filters=0-1&size=64", frames=12)
    parent = here.pause()["run"]
    at(here, 7)
    here.page.get_by_test_id("fork").click()
    here.page.get_by_test_id("fork-objective").fill("-channel")
    here.page.get_by_test_id("fork-optimizer").select_option("ascent")
    here.page.get_by_test_id("fork-one").click()
    state = here.until(f"s.run !== '{parent}' && s.kept > 9 && s.family.root === 7")
    spec = told(here, state["run"])["spec"]
    assert (spec["objective"], spec["optimizer"], spec["policy"]) == ("-channel", "ascent", "cosine")
    here.pause()
    here.page.get_by_test_id("fork").click()  # said once
    assert here.page.get_by_test_id("fork-objective").input_value() == ""
    assert here.page.get_by_test_id("fork-optimizer").input_value() == ""


def test_a_sweep_lives_is_ranked_and_gives_its_knobs(visit: Open) -> None:
    here = visit().open(frames=4)
    here.pause()
    here.page.get_by_test_id("tile-2").get_by_role("button").click()
    here.page.keyboard.press("w")
    here.page.get_by_test_id("values-1").fill("0, 1")
    here.page.get_by_test_id("values-2").fill("0, 0.1")
    here.page.get_by_test_id("sweep-steps").fill("12")
    here.page.get_by_test_id("sweep-begin").click()
    state = here.until(
        "s.sweep.tiles.length === 4 && s.sweep.tiles.every((t) => t.state === 'done' && t.place && t.shown === 12)", 40
    )
    tiles = state["sweep"]["tiles"]
    for tile, (blur, decay) in zip(tiles, [(0, 0), (0, 0.1), (1, 0), (1, 0.1)], strict=True):
        spec = told(here, tile["run"])["spec"]
        assert (spec["channels"], spec["blur"], spec["decay"], spec["steps"]) == ([2], blur, decay, 12)
    best = sorted(tiles, key=lambda tile: -tile["scores"]["held_out"])
    assert [tile["place"] for tile in best] == ["1", "2", "3", "4"]
    here.page.get_by_test_id("sweep-ranked").check()
    assert here.state()["sweep"]["order"] == [tile["run"] for tile in best]
    run = here.state()["run"]
    here.page.locator(f"[data-run='{tiles[3]['run']}'].sweep-tile").click()
    here.page.get_by_test_id("sweep-use").click()
    state = here.until(f"s.run !== '{run}' && s.kept > 2 && !s.sweep.open")
    spec = told(here, state["run"])["spec"]
    assert (spec["blur"], spec["decay"], len(spec["channels"])) == (1, 0.1, 16)


def test_a_step_that_was_not_kept_is_computed_again_or_given_up(visit: Open) -> None:
    here = visit().open(frames=20)
    run = here.pause()["run"]
    here.thin(run, [5, 6, 7])
    here.page.get_by_test_id("step-number").click()
    here.page.get_by_test_id("goto-step").fill("6")
    assert "computed again" in here.page.get_by_test_id("goto-note").inner_text()
    here.page.keyboard.press("Enter")
    here.page.get_by_test_id("job").wait_for(timeout=10000)
    assert "Step 6 is being recomputed" in here.page.get_by_test_id("job").inner_text()
    here.until("s.shown === 6", 20)
    stored, _ = here.stored(run, 6, 0)
    assert np.abs(here.pixels("stage-canvas") - stored).max() <= 2


def test_a_click_while_playing_jumps_and_goes_on(visit: Open) -> None:
    here = visit().open(frames=30)
    end = here.pause()["latest"]
    here.page.get_by_test_id("fps").fill("10")
    here.page.get_by_test_id("play").click()
    here.until("s.shown === 1")
    here.slide("history", end - 8)
    here.until(f"s.shown > {end - 6}")  # on from there
    assert here.page.get_by_test_id("play").get_attribute("aria-pressed") == "true" or here.state()["shown"] == end


def test_exports_and_the_way_back(visit: Open, tmp_path: Path) -> None:
    here = visit().open("?filters=2-4&size=64", frames=14)
    run = here.pause()["run"]
    at(here, 8)
    here.page.get_by_test_id("export").click()
    with here.page.expect_download() as fetched:
        here.page.get_by_test_id("export-png").click()
    fetched.value.save_as(tmp_path / "one.png")
    recipe = read_recipe(tmp_path / "one.png")
    assert (recipe.step, recipe.channel, recipe.extra["run"]) == (8, 2, run)
    stored, _ = here.stored(run, 8, 2)
    with Image.open(tmp_path / "one.png") as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), stored)

    here.page.get_by_test_id("export").click()
    here.page.get_by_test_id("film-first").fill("2")
    here.page.get_by_test_id("film-last").fill("11")
    with here.page.expect_download() as fetched:
        here.page.get_by_test_id("export-webp").click()
    fetched.value.save_as(tmp_path / "film.webp")
    with Image.open(tmp_path / "film.webp") as film:
        assert (film.n_frames, film.size) == (10, (64, 64))

    here.page.get_by_test_id("export").click()
    with here.page.expect_download() as fetched:
        here.page.get_by_test_id("export-archive").click()
    fetched.value.save_as(tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".vizrun")]
        (tmp_path / "run.vizrun").write_bytes(archive.read(name))
    with RunReader(tmp_path / "run.vizrun") as reader:
        assert reader.spec.channels == (2, 3, 4)

    here.page.get_by_test_id("newseed").click()
    here.until(f"s.run !== '{run}' && s.kept > 1")
    here.page.get_by_test_id("open-file").set_input_files(tmp_path / "one.png")
    here.until(f"s.run === '{run}' && s.shown === 8 && s.selected === 2")

    here.page.get_by_test_id("tab-library").click()
    here.page.locator(f".run[data-run='{run}']").click()
    here.page.get_by_test_id("library-delete").click()
    here.page.wait_for_function(f"() => !vizcore.state().library.rows.some(([id]) => id === '{run}')")
    here.page.get_by_test_id("open-file").set_input_files(tmp_path / "run.zip")
    here.page.wait_for_function("() => /in the library now/.test(document.getElementById('notices').textContent)")
    here.page.get_by_test_id("open-file").set_input_files(
        files=[{"name": "x.png", "mimeType": "image/png", "buffer": b"no"}]
    )
    here.page.wait_for_function("() => [...document.querySelectorAll('.notice.error')].length > 0")


def test_the_library_finds_names_deletes_and_takes_back(visit: Open) -> None:
    here = visit().open("?filters=1-2&size=48&seed=123", frames=6)
    run = here.pause()["run"]
    here.page.get_by_test_id("tab-library").click()
    here.page.wait_for_function(f"() => vizcore.state().library.rows.some(([id]) => id === '{run}')")
    here.page.locator(f".run[data-run='{run}']").click()
    here.page.get_by_test_id("library-name").fill("Rare rings")
    here.page.get_by_test_id("library-note").fill("for the talk")
    here.page.get_by_test_id("library-pin").click()
    here.page.wait_for_function("() => document.querySelector('[data-testid=library-pin]')?.ariaPressed === 'true'")
    here.page.get_by_test_id("library-search").fill("rare talk")
    here.page.wait_for_function("() => vizcore.state().library.rows.length === 1")
    here.page.wait_for_function("() => /search=rare/.test(location.search)")
    here.page.reload()
    here.page.wait_for_function(f"() => window.vizcore?.state?.().library.rows[0]?.[0] === '{run}'")
    assert "Rare rings" in here.page.locator(".run").inner_text()
    here.page.locator(".run").click()
    here.page.keyboard.press("Delete")
    here.page.wait_for_function("() => vizcore.state().library.rows.length === 0")
    here.page.get_by_test_id("notice-action").click()
    here.page.wait_for_function("() => vizcore.state().library.rows.length === 1")
    here.page.locator(".run").dblclick()
    here.until(f"s.page === 'ascent' && s.run === '{run}' && s.shown !== null")
    stored, codec = here.stored(run, here.state()["shown"], 1)
    assert np.abs(here.pixels("stage-canvas") - stored).max() <= (0 if codec == "WEBP" else 2)
    here.page.go_back()
    here.until("s.page === 'library'")


def test_a_sheet_of_all_filters_is_exported(visit: Open) -> None:
    here = visit().open("?filters=0-3&size=32", frames=6)
    run = here.pause()["run"]
    with urllib.request.urlopen(f"{here.home}/export/{run}/2.png") as answer:
        sheet = Image.open(io.BytesIO(answer.read()))
    first, _ = here.stored(run, 2, 0)
    assert np.array_equal(np.asarray(sheet.convert("RGB"))[4:36, 4:36], first)
