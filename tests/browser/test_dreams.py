"""The page Dreams in a real browser: a dream begins, is travelled in, and follows what is chosen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.browser.conftest import Visit
from tests.browser.test_image import bring, png

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
DONE = "s.dreams.state === 'done' && s.dreams.painted && s.dreams.painted.step === s.dreams.steps"


def opened(visit: Open, query: str = "") -> Visit:
    here = visit()
    here.page.goto(f"{here.address}?page=dreams{query}")
    here.until("s.dreams.run && s.dreams.latest >= 1")
    return here


def test_a_dream_begins_by_itself_and_every_step_is_there(visit: Open) -> None:
    here = opened(visit)
    here.until(DONE, 30)
    told = here.state()["dreams"]
    assert (told["source"], told["spec"]["octaves"], told["live"]) == ("church", 4, True)
    run, channel = told["run"], told["spec"]["channels"][0]
    page = here.page
    page.keyboard.press("Home")
    here.until("s.dreams.at === 0 && s.dreams.painted.step === 0 && !s.dreams.live")
    wanted, _ = here.stored(run, 0, channel)
    assert np.abs(here.pixels("dreams-stage").astype(int) - wanted).max() <= 2
    here.until("location.search.includes('step=0')")
    page.keyboard.press("ArrowRight")
    here.until("s.dreams.painted.step === 1")
    page.get_by_test_id("dreams-live").click()
    here.until("s.dreams.live && s.dreams.painted.step === s.dreams.steps")
    page.goto(f"{here.address}?page=dreams&run={run}&step=2")
    here.until(f"s.dreams.run === '{run}' && s.dreams.painted && s.dreams.painted.step === 2")


def test_another_choice_is_another_dream(visit: Open) -> None:
    here = opened(visit)
    page, first = here.page, here.state()["dreams"]["run"]
    page.get_by_test_id("dreams-objective").select_option("channel")
    page.get_by_test_id("dreams-channel").fill("5")
    page.get_by_test_id("dreams-channel").press("Enter")
    here.until(
        f"s.dreams.run !== '{first}' && s.dreams.spec.objective === 'channel' && s.dreams.spec.channels[0] === 5"
    )
    page.get_by_test_id("dreams-start").select_option("noise")
    here.until("s.dreams.spec.source === ''")
    page.get_by_test_id("dreams-start").select_option("picture")
    bring(here, "mine.png", png(3))
    told = here.until("s.dreams.source === 'mine.png' && s.dreams.spec.source !== ''")["dreams"]

    # opened again, the form has its picture, layer and filter, and begins with them
    page.goto("about:blank")
    page.goto(f"{here.address}?page=dreams&run={told['run']}")
    here.until(f"s.dreams.run === '{told['run']}' && s.dreams.source === 'the run’s picture'")
    assert page.get_by_test_id("dreams-layer").input_value() == told["spec"]["layer"]
    page.get_by_test_id("dreams-steps").fill("7")
    page.get_by_test_id("dreams-steps").press("Enter")
    again = here.until(f"s.dreams.run !== '{told['run']}'")["dreams"]
    for name in ("source", "layer", "objective", "channels", "model"):
        assert again["spec"][name] == told["spec"][name]


def test_an_empty_stage_says_what_to_do_and_shows_the_start(visit: Open) -> None:
    here = visit()
    page = here.page
    assert "then the dream begins by itself" in page.request.get(here.address).text()  # until the network is there
    page.goto(f"{here.address}?page=dreams&run=20200101-000000-abcdef")
    page.get_by_text("Dream anew begins a dream").wait_for()
    here.until("s.dreams.source === 'church' && document.getElementById('dreams-stage').width > 64")
    assert here.pixels("dreams-stage").std() > 10
    page.get_by_test_id("dreams-anew").click()
    here.until("s.dreams.painted")
    page.get_by_test_id("dreams-empty").wait_for(state="hidden")


def test_a_broken_picture_is_said_and_the_dream_stays(visit: Open) -> None:
    here = opened(visit)
    before = here.state()["dreams"]["run"]
    bring(here, "broken.png", b"no picture")
    here.page.get_by_text("This is no PNG, JPEG or WebP picture").wait_for()
    assert here.state()["dreams"]["run"] == before
