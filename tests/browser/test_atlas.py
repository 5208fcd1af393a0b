"""The page Atlas and the static site in a browser: search, sort, open, scroll 10,000, continue live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app import fake_atlas
from tests.app.fake import LAYERS
from tests.browser.conftest import Visit
from vizcore.atlas import site
from vizcore.atlas.store import open_store

pytestmark = pytest.mark.browser
Make = Callable[..., Visit]
FIRST, SECOND = (str(layer["path"]) for layer in LAYERS[:2])


@pytest.fixture(scope="module")
def atlas(library: Path) -> str:
    """An atlas with a layer of 10,000 filters."""
    folder = library / "atlases" / "tried"
    fake_atlas.make(folder, {FIRST: 12, SECOND: 10_000}, painted=40)
    fake_atlas.beside(folder, SECOND, range(3, 6), FIRST)
    return "tried"


def test_a_unit_is_found_opened_and_continued_live(visit: Make, atlas: str) -> None:
    here = visit().open("?page=atlas", frames=0)
    here.until(f"s.atlas.atlas === '{atlas}' && s.atlas.rows.length === 12")
    page = here.page
    page.get_by_test_id("atlas-search").fill("2-4, 3")
    here.until("s.atlas.rows.join() === '3'")
    page.get_by_test_id("atlas-search").fill("failed")
    here.until("s.atlas.rows.join() === '11'")
    page.get_by_test_id("atlas-search").fill("0-4")
    page.get_by_test_id("atlas-sort").select_option("end")
    here.until("s.atlas.rows.join() === '0,1,2,3,4'")
    page.locator("#atlas-wall [data-channel='3']").click()
    here.until("s.atlas.channel === 3")
    page.wait_for_function("new URLSearchParams(location.search).get('channel') === '3'")
    again = visit().open(page.evaluate("location.search"), frames=0)  # each unit has an address
    again.until("s.atlas.channel === 3 && s.atlas.rows.join() === '0,1,2,3,4'")
    again.page.wait_for_function("document.querySelector('#atlas-unit .picture')?.naturalWidth === 64")
    again.page.get_by_test_id("atlas-live").click()
    again.until("s.page === 'ascent' && s.kept >= 2")
    assert f"layer={FIRST}" in again.page.evaluate("decodeURIComponent(location.search)")


def test_a_units_page_leads_to_its_sources_its_neighbours_and_back(visit: Make, atlas: str) -> None:
    here = visit().open(f"?page=atlas&atlas={atlas}&layer={SECOND}&channel=4", frames=0)
    here.until("s.atlas.channel === 4 && s.atlas.beside?.length === 5")
    page, unit = here.page, here.page.locator("#atlas-unit")
    assert unit.locator(".atlas-steps figcaption").all_text_contents() == ["0", "4", "40"]
    assert unit.locator(".atlas-nine figure").count() == 9
    page.wait_for_function("[...document.querySelectorAll('#atlas-unit img')].every((one) => one.naturalWidth > 0)")
    text = unit.inner_text()
    for words in (
        "tench (0.70)",
        "the picture has 12.0",
        "1.50 times that",
        "The deconvnet is <i>not</i> defined.",
        "strongest 2 of 12 inputs",
        "r 0.90",
    ):
        assert words in text
    page.get_by_test_id("atlas-sort").select_option("highest")
    here.until("s.atlas.rows.slice(0, 4).join() === '5,4,3,0'")  # those without evidence come last
    assert page.locator("#atlas-wall [data-channel='5']").inner_text() == "5 · 10.0"
    page.get_by_test_id("atlas-sort").select_option("ratio")
    here.until("s.atlas.rows.slice(0, 4).join() === '3,4,5,0'")
    page.get_by_test_id("atlas-sort").select_option("channel")
    away = unit.locator("a.atlas-link.away")
    assert "layer=elsewhere&filters=3" in away.get_attribute("href")
    unit.locator("[data-testid='atlas-similar'] [data-channel='5']").click()
    here.until("s.atlas.channel === 5 && s.atlas.beside?.length === 5")
    unit.locator(f".atlas-source [data-layer='{FIRST}']").click()
    here.until(f"s.atlas.layer === '{FIRST}' && s.atlas.channel === 2 && s.atlas.beside?.length === 0")
    assert "Not gathered" in unit.inner_text()
    assert page.locator("#atlas-sort [value='end']").count() == 1
    assert page.locator("#atlas-sort [value='highest']").count() == 0  # no filter of this layer has it
    page.go_back()
    here.until(f"s.atlas.layer === '{SECOND}' && s.atlas.channel === 5")
    page.go_back()
    here.until("s.atlas.channel === 4")
    assert page.evaluate("new URLSearchParams(location.search).get('channel')") == "4"


def test_of_10000_thumbnails_only_those_that_are_seen_are_there(visit: Make, atlas: str) -> None:
    here = visit().open(f"?page=atlas&atlas={atlas}&layer={SECOND}", frames=0)
    here.until("s.atlas.rows.length === 10000 && s.atlas.there > 20")
    assert here.state()["atlas"]["there"] < 400
    here.page.evaluate("document.getElementById('atlas-wall').scrollTop = 1e9")
    here.page.wait_for_selector("#atlas-wall [data-channel='9999']")
    assert here.state()["atlas"]["there"] < 400
    assert here.page.locator("#atlas-wall [data-channel='0']").count() == 0


@pytest.fixture
def alone(browser: Any) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    yield page
    page.close()


def test_a_static_site_opens_from_its_folder(alone: Any, tmp_path: Path) -> None:
    head = fake_atlas.make(tmp_path / "atlas", {"a": 30, "b</script>": 5})
    fake_atlas.beside(tmp_path / "atlas", "a", range(5, 8), "b</script>")
    site.export(open_store(tmp_path / "atlas"), tmp_path / "site")
    noise: list[str] = []
    alone.on("pageerror", lambda error: noise.append(str(error)))
    alone.goto((tmp_path / "site" / "index.html").as_uri())
    alone.wait_for_function("document.querySelectorAll('.tile').length === 30")
    alone.select_option("#sort", "highest")
    alone.wait_for_function("document.querySelector('.tile')?.textContent === '7 · 14.0'")
    alone.fill("#search", "7")
    alone.wait_for_function("document.querySelectorAll('.tile').length === 1")
    alone.click(".tile[data-channel='7']")
    alone.wait_for_function("document.querySelector('#unit .picture')?.naturalWidth === 64")
    assert head.address("a", 7) in alone.get_attribute("#unit .picture", "src")
    alone.fill("#search", "")
    alone.wait_for_function("document.querySelectorAll('#unit .nine figure').length === 9")
    alone.wait_for_function("[...document.querySelectorAll('#unit img')].every((one) => one.naturalWidth > 0)")
    alone.click("#unit .similar a >> nth=0")
    alone.wait_for_function("document.querySelector('#unit h2').textContent === 'a · 8'")
    alone.go_back()
    alone.click("#unit .source a")
    alone.wait_for_function("document.querySelector('#unit h2').textContent === 'b</script> · 1'")
    alone.wait_for_function("document.querySelectorAll('.tile').length === 5")
    address = alone.url
    alone.goto("about:blank")
    alone.goto(address)  # each unit has an address
    alone.wait_for_function("document.querySelector('#unit h2')?.textContent === 'b</script> · 1'")
    alone.click("#layers button >> nth=0")
    alone.wait_for_function("document.querySelectorAll('.tile').length === 30")
    alone.click("#layers button >> nth=1")
    alone.wait_for_function("document.querySelectorAll('.tile').length === 5")
    assert not noise
