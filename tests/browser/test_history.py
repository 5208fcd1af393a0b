"""Live pictures and history are one time line, and every number names the picture beside it."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]


def test_tiles_change_while_the_run_runs(visit: Open) -> None:
    here = visit().open(frames=2)
    before = [here.pixels(f"tile-canvas-{channel}") for channel in (0, 15)]
    at = here.state()["tiles"]["0"]
    here.until(f"s.tiles[0] > {at + 3} && s.tiles[15] > {at + 3}")
    after = [here.pixels(f"tile-canvas-{channel}") for channel in (0, 15)]
    assert all(np.abs(a - b).mean() > 1 for a, b in zip(before, after, strict=True))
    assert (
        here.page.evaluate("""() => { const named = (name) => Bokeh.documents[0].get_model_by_name(name)
            return named('live').get_column('sent')[0] - named('flow').ack }""")
        <= 2
    )


def test_slider_shows_exactly_the_stored_picture(visit: Open) -> None:
    here = visit().open(frames=12)
    here.pause()
    run = here.state()["run"]
    seen = set()
    for step in (0, 7, 3):
        here.slide("history", step)
        here.until(f"s.shown === {step} && s.tiles[5] === {step}")
        assert here.page.get_by_test_id("step-number").inner_text().startswith(f"{step}/")
        for channel, canvas in ((5, "tile-canvas-5"), (0, "stage-canvas")):
            stored, codec = here.stored(run, step, channel)
            seen.add(codec)
            difference = np.abs(here.pixels(canvas) - stored).max()
            assert difference <= (0 if codec == "WEBP" else 2), (step, channel, codec)
    assert seen == {"WEBP", "JPEG"}


def test_live_picture_is_the_stored_picture(visit: Open) -> None:
    here = visit().open()
    state = here.pause()
    stored, codec = here.stored(state["run"], state["shown"], 9)
    assert state["tiles"]["9"] == state["shown"]
    assert np.abs(here.pixels("tile-canvas-9") - stored).max() <= (0 if codec == "WEBP" else 2)


def test_dragging_back_does_not_stop_the_run_and_live_returns(visit: Open) -> None:
    here = visit().open(frames=6)
    here.slide("history", 2)
    at = here.until("s.shown === 2 && !s.live")["latest"]
    state = here.until(f"s.latest > {at + 3}")
    assert (state["shown"], state["state"]) == (2, "running")
    here.page.get_by_test_id("live").click()
    here.until("s.live && s.shown === s.latest")


def test_pause_and_single_steps(visit: Open) -> None:
    here = visit().open()
    at = here.pause()["latest"]
    assert here.page.get_by_test_id("primary").inner_text() == "Run"
    here.page.wait_for_timeout(400)
    assert here.state()["latest"] == at
    here.page.get_by_test_id("step").click()
    here.until(f"s.latest === {at + 1} && s.shown === {at + 1}")
    here.page.get_by_test_id("primary").click()
    here.until(f"s.state === 'running' && s.latest > {at + 2}")


def test_a_step_that_was_not_kept_shows_the_nearest_and_its_number(visit: Open) -> None:
    here = visit().open(frames=14)
    state = here.pause()
    here.thin(state["run"], [step for step in range(state["latest"]) if step % 5])
    here.slide("history", 6)
    here.until("s.shown === 5")
    assert here.page.get_by_test_id("history").input_value() == "5"
    assert here.page.get_by_test_id("step-number").inner_text().startswith("5/")
    assert "step 5" in here.page.get_by_test_id("stamp").inner_text()


def test_a_picture_that_is_gone_is_not_shown_under_its_number(visit: Open) -> None:
    here = visit().open(frames=8)
    run = here.pause()["run"]
    here.page.route(re.compile(r"/frames/[^/]+/3\?"), lambda route: route.fulfill(status=404, body="gone"))
    here.page.reload()  # the run is the same, the pictures are not in the page yet
    here.until(f"s.run === '{run}' && s.shown !== null")
    here.slide("history", 3)
    state = here.until("!s.live && s.cursor !== 3 && s.shown === s.cursor")
    stored, codec = here.stored(run, state["shown"], 0)
    assert np.abs(here.pixels("stage-canvas") - stored).max() <= (0 if codec == "WEBP" else 2)
    here.noise[:] = [line for line in here.noise if "404" not in line]


def test_linked_sliders_move_together_and_unlinked_alone(visit: Open) -> None:
    here = visit().open(frames=8)
    here.pause()
    here.slide("tile-slider-4", 3)
    here.until("Object.values(s.tiles).every((step) => step === 3)")
    here.page.get_by_test_id("live").click()
    end = here.until("Object.values(s.tiles).every((step) => step === s.latest)")["latest"]
    here.page.locator("label", has=here.page.get_by_test_id("link-sliders")).click()
    here.slide("tile-slider-4", 1)
    tiles = here.until("s.tiles[4] === 1")["tiles"]
    assert {step for channel, step in tiles.items() if channel != "4"} == {end}
    here.page.get_by_test_id("tile-4").get_by_role("button").click()
    here.until("s.selected === 4 && s.shown === 1")


def test_replay_visits_kept_steps_in_order(visit: Open) -> None:
    here = visit().open(frames=10)
    here.pause()
    here.page.get_by_test_id("fps").fill("30")
    watch = """() => { window.seen = []; const look = () => { const s = vizcore.state().shown
      if (seen.at(-1) !== s) seen.push(s); if (seen.length < 400) requestAnimationFrame(look) }; look() }"""
    here.page.evaluate(watch)
    here.page.get_by_test_id("play").click()
    end = here.state()["latest"]
    here.page.wait_for_function(f"() => seen.slice(1).includes({end})")
    seen = here.page.evaluate("seen")[1:]
    kept = here.state()["kept"]  # every step, unless the machine was too busy to keep each
    assert seen[:kept] == sorted(set(seen[:kept]))
    assert (seen[0], seen[kept - 1]) == (0, end)


def test_one_cursor(visit: Open) -> None:
    here = visit().open(frames=8)
    here.slide("history", 4)
    here.until("s.shown === 4")
    here.page.wait_for_function("() => Bokeh.documents[0].get_model_by_name('cursor').location === 4")
    here.page.wait_for_function("() => document.querySelector('[data-testid=evidence-note]').textContent === 'step 4'")
    strip = here.page.get_by_test_id("filmstrip").get_by_role("button", name="Step 4")
    assert strip.get_attribute("aria-current") == "true"
