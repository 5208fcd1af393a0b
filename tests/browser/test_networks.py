"""The page Networks in a real browser: fields of the table, another method, picture or network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.app import fake_look
from tests.browser.conftest import Visit
from tests.browser.test_image import bring, png
from vizcore.look import display
from vizcore.look.pictures import read

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
FULL = "Object.keys(s.networks.fields).length === 4 * s.networks.models.length && !s.networks.busy"


def cell(here: Visit, row: str, column: int) -> np.ndarray:
    """The picture in a field of the table."""
    node = here.page.get_by_test_id(f"networks-{row}").nth(column)
    node.locator("canvas").evaluate("(canvas) => canvas.setAttribute('data-testid', 'the-cell')")
    seen = here.pixels("the-cell")
    node.locator("canvas").evaluate("(canvas) => canvas.removeAttribute('data-testid')")
    return seen


def test_a_picture_is_seen_by_several_networks_at_four_depths(visit: Open) -> None:
    here = visit()
    page = here.page
    page.goto(f"{here.address}?page=networks&method=deconv&models=imagenette-robust,digits")
    told = here.until(f"{FULL} && s.networks.models.length === 2")["networks"]
    assert told["fields"]["imagenette-robust first"]["layer"] == "stem"
    assert told["fields"]["digits first"]["layer"] == "conv1"
    assert told["fields"]["digits class"] == {"layer": "", "channel": 3, "unit": "3", "score": 4.5, "why": ""}
    bring(here, "noise.png", png(5))
    here.until(f"s.networks.source === 'noise.png' && {FULL}")
    for pane, name in (("heat", "heat"), ("focus", "focus"), ("relevance", "relevance")):
        page.get_by_test_id("networks-pane").select_option(pane)
        wanted = fake_look.explained(png(5), 3, 0.2, 0)["panes"][name]
        page.wait_for_function(f"() => document.querySelectorAll('.beside canvas[data-pane={pane}]').length === 8")
        np.testing.assert_array_equal(cell(here, "last", 1), read(wanted).astype(int))
    # The same maps as one network has them, each on its own scale.
    page.get_by_test_id("networks-method").select_option("activations")
    here.until(f"s.networks.method === 'activations' && {FULL}")
    side = fake_look.SIDE
    strongest = fake_look.maps(png(5), 16)[15:16]
    wanted = display.maps(strongest, "normalised")[0].astype(int)
    scale = round(56 / side)
    seen = cell(here, "middle", 0)[: scale * side : scale, : scale * side : scale]
    assert np.abs(seen - wanted).max() <= 3
    # A method that a network does not support says why, in its field.
    page.get_by_test_id("networks-method").select_option("lrp")
    here.until(f"s.networks.method === 'lrp' && {FULL}")
    assert "adds outside of modules" in page.get_by_test_id("networks-first").first.inner_text()


def test_networks_come_and_go_and_what_is_there_stays(visit: Open) -> None:
    here = visit()
    page = here.page
    page.goto(f"{here.address}?page=networks&models=digits&method=guided")
    here.until(f"{FULL} && s.networks.models.length === 1")
    page.evaluate(
        """() => {
          const send = window.fetch
          window.asked = []
          window.fetch = (url, ...rest) => {
            if (String(url).includes("look/column")) asked.push(String(url))
            return send(url, ...rest)
          }
        }"""
    )
    page.get_by_test_id("networks-add").click()
    here.until(f"{FULL} && s.networks.models.length === 2")
    asked = page.evaluate("asked")
    assert len(asked) == 4
    assert all("model=imagenette-robust" in url for url in asked)
    page.get_by_test_id("networks-model-1").select_option("resnet18")
    here.until(f"{FULL} && s.networks.models[1] === 'resnet18'")
    here.until("location.search.includes('models=digits%2Cresnet18')")
    page.get_by_role("button", name="Remove digits").click()
    here.until(f"{FULL} && s.networks.models.length === 1")
    bring(here, "broken.png", b"nothing")
    page.get_by_role("alert").filter(has_text="no PNG, JPEG or WebP").wait_for()
    here.until(f"s.networks.source === 'church' && {FULL}")


def test_a_report_on_filters_leads_to_their_pictures(visit: Open) -> None:
    here = visit()
    page = here.page
    page.goto(f"{here.address}?page=networks&models=imagenette-robust,digits&method=guided")
    here.until(f"{FULL} && s.networks.design === null")
    page.get_by_test_id("networks-inspect-1").click()
    here.until("s.networks.design?.model === 'digits' && location.search.includes('report=digits')")
    findings = page.get_by_test_id("networks-finding")
    assert findings.count() == 4
    assert "1,234 filters" in page.get_by_test_id("networks-design").inner_text()
    assert "nothing found" in page.get_by_test_id("networks-design").inner_text()  # spectral coverage
    findings.nth(0).get_by_test_id("networks-filter").nth(1).click()
    here.until("s.page === 'ascent' && s.selected === 4 && location.search.includes('layer=conv2&filters=1,4&')")
    for index, wanted in ((1, "conv1&filters=2-3"), (2, "conv1&filters=0-15"), (3, "conv2&filters=0-15")):
        page.go_back()
        here.until("s.page === 'networks' && s.networks.design?.model === 'digits'")
        findings.nth(index).get_by_test_id("networks-finding-all").click()
        here.until(f"s.page === 'ascent' && s.kept > 0 && location.search.includes('layer={wanted}&')")
    page.go_back()
    here.until("s.page === 'networks' && s.networks.design?.model === 'digits'")
    page.get_by_role("button", name="Remove digits").click()
    here.until("s.networks.models.length === 1 && s.networks.design === null")
    assert page.get_by_test_id("networks-design").count() == 0
    page.goto(f"{here.address}?page=networks&models=digits&report=digits")
    here.until("s.networks.design?.findings === 4")
