"""The page Training in a real browser: letters are learnt, and curves and filters move."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]


def test_letters_are_learnt_before_ones_eyes(visit: Open) -> None:
    here = visit()
    page = here.page
    page.goto(here.address + "?page=training")
    here.until("s.page === 'training' && document.getElementById('training-dataset').options.length === 6")
    assert page.get_by_test_id("training-dataset").input_value() == "efl"
    page.get_by_text("Network and numbers").click()
    page.locator("#training-seed").fill("1")  # whose units die; seed 2 learns
    page.locator("#training-every").fill("20")
    page.get_by_test_id("training-start").click()
    here.until("s.training.steps > 0 && s.training.filters > 0", 120)
    press(here, "training-pause")
    here.until("s.training.state === 'paused' || s.training.state === 'done'", 60)
    if here.state()["training"]["state"] == "paused":
        assert page.get_by_test_id("training-pause").inner_text() == "Go on"
        press(here, "training-pause")
    told = here.until("s.training.state === 'done'", 180)["training"]
    assert told["accuracy"] >= 0.99
    assert told["failed"] == 1
    assert told["epochs"] == 15
    assert told["filters"] >= 2  # before and after, at least; how many between is a matter of speed
    assert "1 (67 %)" in page.get_by_test_id("training-seeds").inner_text()
    curve = page.locator("#training-loss .batches").get_attribute("points")
    assert curve is not None
    assert len(curve.split()) > 5
    assert page.locator("#training-accuracy .validation").get_attribute("points")
    diagonal = [page.locator(f"#training-confusion [role=row]:nth-child({i + 2}) [role=cell]").nth(i) for i in range(3)]
    assert min(int(cell.inner_text()) for cell in diagonal) > 190  # of 200
    last = told["filters"] - 1
    here.until(f"Number(s.training.shown) === {last}")
    newest = page.get_by_test_id("training-filters-picture").get_attribute("src")
    here.slide("training-slider", 0)
    here.until("Number(s.training.shown) === 0")
    oldest = page.get_by_test_id("training-filters-picture").get_attribute("src")
    assert fetched(here, newest) != fetched(here, oldest)
    assert page.locator(".plot:has(#training-loss) .high").inner_text()
    page.get_by_test_id("training-inspect").click()
    here.until("s.page === 'networks' && s.networks.models[0]?.startsWith('own:')")
    here.until("document.querySelector('[data-testid=networks-design]') && location.search.includes('report=own')")


def press(here: Visit, name: str) -> None:
    """A click that comes even if the training has just ended and the button is gone."""
    here.page.get_by_test_id(name).evaluate("(button) => button.click()")


def fetched(here: Visit, address: str | None) -> bytes:
    with urllib.request.urlopen(str(address)) as answer:
        found: bytes = answer.read()
    return found


def test_a_mistake_is_one_click_from_the_page_image(visit: Open, tmp_path_factory: pytest.TempPathFactory) -> None:
    here = visit()
    page = here.page
    page.goto(here.address + "?page=training")
    here.until("document.getElementById('training-dataset').options.length === 6")
    page.get_by_text("Network and numbers").click()
    page.locator("#training-seed").fill("0")
    page.locator("#training-epochs").fill("1")
    page.locator("#training-lr").fill("0.000001")  # so that it learns nothing: there are always mistakes
    page.get_by_test_id("training-start").click()
    here.until("s.training.mistakes > 0", 120)
    press(here, "training-stop")
    here.until("['stopped', 'done', 'failed'].includes(s.training.state)", 60)
    assert beside(here, "training")
    page.get_by_test_id("training-mistake").first.click()
    here.until("s.page === 'image'")
    assert beside(here, "image")
    name = page.get_by_test_id("image-picture").evaluate("(node) => node.src")
    assert name.startswith("blob:")
    page.goto(here.address + "?page=training")  # another visit sees the same training
    here.until("s.training.mistakes > 0")


def beside(here: Visit, name: str) -> bool:
    """Whether the columns of a page stand side by side, none over another, and fill the window."""
    columns = here.page.locator(f"#page-{name} .looking > section")
    boxes = [columns.nth(i).bounding_box() for i in range(columns.count())]
    edges = [edge for box in boxes for edge in (box["x"], box["x"] + box["width"])]
    return len(boxes) == 3 and edges == sorted(edges) and edges[0] < 20 and edges[-1] > 1240


@pytest.mark.parametrize("path", ["20200101-000000-abcdef/filters/0.png", "../filters/0.png", "x/mistakes/1.png"])
def test_there_is_nothing_where_no_training_is(server: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{server.rsplit('/', 1)[0]}/training/{path}")
    assert refusal.value.code in (403, 404)
