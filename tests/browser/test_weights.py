"""The page Weights in a real browser: kernels, matrices, projections, and the way to the page Ascent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.app import fake_look
from tests.app.fake import FakeEngine
from tests.browser.conftest import Visit
from tests.browser.test_image import bring, png
from vizcore.look import display

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
READY = "s.weights.filters.length && !s.weights.busy"


def opened(visit: Open, query: str = "") -> Visit:
    here = visit()
    here.page.goto(f"{here.address}?page=weights{query}")
    here.until(READY)
    return here


def kernels(layer: str) -> np.ndarray:
    return fake_look.kernels(FakeEngine.describe(FakeEngine(None), "imagenette-robust").result(), layer)  # type: ignore[arg-type]


def at(here: Visit, index: int) -> dict[str, float]:
    """The middle of a picture on the sheet."""
    place = here.state()["weights"]["place"]
    pitch = place["side"] + place["gap"]
    column, row = index % place["columns"], index // place["columns"]
    return {"x": column * pitch + place["side"] / 2, "y": row * pitch + place["side"] / 2}


def test_kernels_are_painted_with_their_sign_and_a_click_leads_to_the_filter(visit: Open) -> None:
    here = opened(visit)
    page, values = here.page, kernels("stem")
    told = here.state()["weights"]
    assert (told["layer"], told["pictures"], len(told["filters"])) == ("stem", True, 48)
    assert told["top"] == pytest.approx(np.abs(values).max(), rel=1e-3)
    page.get_by_test_id("weights-grid").hover(position=at(here, 5))
    here.until("s.weights.at === 5")
    wanted = display.signed(values)[5].astype(int)
    assert np.abs(here.pixels("weights-large") - wanted).max() <= 2  # values come as float16
    tip = page.get_by_test_id("weights-tip").inner_text()
    middle = values[5, :, 3, 3]
    assert tip == "filter 5 at 3, 3: red {:.2f}, green {:.2f}, blue {:.2f}".format(*middle)
    page.get_by_test_id("weights-show").select_option("sign")
    mean = values.mean(1)[5]
    wanted = display.colours(mean / np.abs(values).max() / 2 + 0.5, "diverging").astype(int)
    assert np.abs(here.pixels("weights-large") - wanted).max() <= 4
    assert page.get_by_test_id("weights-legend").is_visible()
    page.get_by_test_id("weights-grid").click(position=at(here, 7))
    here.until("s.page === 'ascent' && s.selected === 7 && s.kept >= 2")
    here.until("location.search.includes('layer=stem') && location.search.includes('filters=7')")
    page.go_back()
    here.until("s.page === 'weights' && s.weights.layer === 'stem'")


def test_deeper_layers_are_matrices_in_blocks(visit: Open) -> None:
    here = opened(visit, "&layer=block2")
    page, values = here.page, kernels("block2")
    told = here.state()["weights"]
    assert (told["pictures"], told["inputs"], told["filters"][-1]) == (False, 64, 63)
    place = told["place"]
    zoom, (left, top) = place["zoom"], (place["edge"]["left"], place["edge"]["top"])
    sheet = here.pixels("weights-grid")[top::zoom, left::zoom]
    for row, column in ((0, 0), (7, 3), (63, 63)):
        wanted = display.colours(values[row, column] / np.abs(values).max() / 2 + 0.5, "diverging").astype(int)
        cell = sheet[4 * row : 4 * row + 3, 4 * column : 4 * column + 3]
        assert np.abs(cell - wanted).max() <= 4, (row, column)
    spot = {"x": left + 4 * place["cell"][0] + 1, "y": top + 9 * place["cell"][1] + 1}
    page.get_by_test_id("weights-grid").hover(position=spot)
    here.until("s.weights.at === 9")
    assert page.get_by_test_id("weights-tip").inner_text() == f"filter 9, input 4 at 0, 0: {values[9, 4, 0, 0]:.2f}"
    page.get_by_role("button", name="Next filters").click()
    here.until("s.weights.filters[0] === 64 && !s.weights.busy")
    page.get_by_role("button", name="Next inputs").click()
    here.until("s.weights.skip === 64 && s.weights.inputs === 32 && !s.weights.busy")
    here.until("location.search.includes('first=64') && location.search.includes('skip=64')")
    page.get_by_test_id("weights-layer").select_option("fc")
    here.until("s.weights.layer === 'fc' && s.weights.filters.length === 10 && !s.weights.busy")
    page.get_by_test_id("weights-model").select_option("digits")
    here.until("s.weights.model === 'digits' && !s.weights.busy")


def test_filters_are_carried_to_pixels_by_weights_or_from_a_picture(visit: Open) -> None:
    here = opened(visit, "&view=weights")  # of the first layer
    page = here.page
    here.until("s.weights.filters.length === 16 && !s.weights.busy")
    page.get_by_test_id("weights-grid").press("End")
    here.until("s.weights.at === 15")
    values = fake_look.carried(15, b"")
    assert np.abs(here.pixels("weights-large") - display.relevance(values).astype(int)).max() <= 2
    page.get_by_test_id("weights-layer").select_option("block3")
    page.get_by_test_id("weights-note").filter(has_text="depends on the picture").wait_for()
    page.get_by_role("button", name="Use a picture").click()
    here.until("s.weights.view === 'picture' && s.weights.filters.length === 16 && !s.weights.busy")
    bring(here, "noise.png", png(3))
    here.until("s.weights.done.includes('noise.png') && !s.weights.busy")
    values = fake_look.carried(0, png(3))
    here.page.get_by_test_id("weights-grid").press("Home")
    here.until("s.weights.at === 0")
    assert np.abs(here.pixels("weights-large") - display.relevance(values).astype(int)).max() <= 2
    bring(here, "broken.png", b"nothing")
    page.get_by_role("alert").filter(has_text="no PNG, JPEG or WebP").wait_for()
    here.until("!s.weights.busy")
