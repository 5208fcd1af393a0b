"""The page Patches in a real browser: passes over pictures, the wall, a held channel, and the ways to other pages."""

from __future__ import annotations

import io
import re
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.app.fake_patches import DEAD, activations
from tests.browser.conftest import Visit
from vizcore.look.collections import collect

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
COUNT = 24
CHANNELS = 64  # of block1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two classes, and a broken one."""
    made = tmp_path_factory.mktemp("photos")
    for i in range(COUNT):
        (made / "ab"[i % 2]).mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(made / "ab"[i % 2] / f"{i:02}.png")
    (made / "b" / "zz.png").write_bytes(b"nothing")
    return made


def opened(visit: Open, folder: object, **more: str) -> Visit:
    here = visit()
    query = {"page": "patches", "model": "imagenette-robust", "layer": "block1", "data": str(folder), **more}
    here.page.goto(f"{here.address}?{urllib.parse.urlencode(query)}")
    return here


def best(values: np.ndarray, names: tuple[str, ...], channel: int) -> list[str]:
    order = sorted(range(len(values)), key=lambda i: (-values[i, channel], i))
    return [names[i] for i in order[:9]]


def test_a_pass_is_begun_stopped_and_goes_on(visit: Open, folder: Path) -> None:
    here = opened(visit, folder)
    page = here.page
    here.until(f"s.patches.pictures === {COUNT + 1} && s.patches.done === 0 && !s.patches.busy")
    assert page.get_by_test_id("patches-count").inner_text() == f"{COUNT + 1} pictures, not looked through yet"
    page.get_by_test_id("patches-scan").click()
    here.until("s.patches.scan?.state === 'running' && s.patches.scan.done > 1")
    assert page.get_by_test_id("patches-scan").inner_text() == "Stop"
    page.get_by_test_id("patches-scan").click()
    told = here.until("s.patches.scan.state === 'stopped' && s.patches.done > 1 && !s.patches.busy")["patches"]
    assert told["done"] <= COUNT
    page.get_by_test_id("patches-scan").filter(has_text="Go on").click()
    told = here.until(f"s.patches.done === {COUNT + 1} && s.patches.scan.state === 'done' && !s.patches.busy")[
        "patches"
    ]

    # What is broken is skipped, counted and named.
    assert told["skipped"] == 1
    page.get_by_test_id("patches-broken").get_by_text("1 picture skipped").click()
    page.get_by_test_id("patches-broken").get_by_text("b/zz.png").wait_for()

    # Every channel has its highest activation, and orders are what they say.
    values = activations(COUNT + 1, CHANNELS)[:COUNT]  # the broken one is the last
    np.testing.assert_allclose(told["highest"], values.max(0), rtol=1e-5)
    dead = [channel for channel in range(CHANNELS) if channel % 13 == DEAD]
    assert page.get_by_test_id("patches-dead").inner_text().split() == [str(channel) for channel in dead]
    for sort, name in (("response", "highest"), ("selectivity", "selectivity"), ("sparsity", "sparsity")):
        page.get_by_test_id("patches-sort").select_option(sort)
        alive = sorted(set(range(CHANNELS)) - set(dead), key=lambda c: (-told[name][c], c))
        assert here.until("s.patches.order.length")["patches"]["order"][: len(alive)] == alive
        assert here.state()["patches"]["order"][len(alive) :] == sorted(dead, key=lambda c: (-told[name][c], c))

    # The address leads there again, and nothing needs to be looked through.
    here.until("location.search.includes('sort=sparsity')")
    page.get_by_test_id("patch-tile").nth(2).click()
    here.until("s.patches.held && location.search.includes('channel=')")
    channel = here.state()["patches"]["channel"]
    page.reload()
    told = here.until("s.patches.held && !s.patches.busy")["patches"]
    assert (told["channel"], told["done"], told["scan"]) == (channel, COUNT + 1, None)
    assert page.get_by_test_id("patches-sort").input_value() == "sparsity"


def test_a_held_channel_and_the_way_to_the_image_page_and_back(visit: Open, folder: Path) -> None:
    here = opened(visit, folder, only="/a/", channel="3")
    page = here.page
    here.until("s.patches.pictures === 12 && !s.patches.busy")
    page.get_by_test_id("patches-scan").click()
    told = here.until("s.patches.done === 12 && s.patches.held?.patches.length === 9 && !s.patches.asking")
    collection = collect(folder, "/a/")
    values = activations(12, CHANNELS)
    held = told["patches"]["held"]
    assert [one["name"] for one in held["patches"]] == best(values, collection.names, 3)
    patches = page.get_by_test_id("patch")
    assert patches.count() == 9
    assert patches.first.locator("img").count() == 2  # its deconvolution stands beside it
    assert re.match(r"\d\d\.png · a", patches.first.inner_text().replace("\n", " "))
    assert (here.pixels("patches-histogram").max() > 0).all()
    here.until("s.patches.loaded > 8")
    tile = page.get_by_test_id("patch-tile").nth(3).locator("img").get_attribute("src")
    with urllib.request.urlopen(f"{here.home}/{tile}") as answer:
        assert Image.open(io.BytesIO(answer.read())).size == (196, 196)

    page.get_by_test_id("patches-wall").locator("[aria-selected=true]").press("ArrowRight")
    here.until("s.patches.held?.channel === 4")
    name = patches.nth(1).get_attribute("data-name")
    patches.nth(1).click()
    told = here.until(
        f"s.page === 'image' && s.image.source === '{name}' && s.image.back?.source === '{name}' && !s.image.busy"
    )
    assert told["image"]["held"] == {"layer": "block1", "channel": 4}
    assert (told["image"]["model"], told["image"]["layer"]) == ("imagenette-robust", "block1")
    here.until("location.search.includes('picture=')")
    page.reload()
    here.until(f"s.image.source === '{name}' && s.image.held.channel === 4 && s.image.back?.source === '{name}'")
    page.get_by_test_id("tab-patches").click()
    page.get_by_test_id("patches-ascend").wait_for(state="hidden")


def test_a_dropped_folder_is_sent_and_looked_through(visit: Open, folder: Path, tmp_path: Path) -> None:
    count = 10
    for name in collect(folder).names[:count]:
        for copy in ("a", "b"):
            (tmp_path / "holiday" / copy).mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, tmp_path / "holiday" / copy)
    here = opened(visit, "examples")
    page = here.page
    here.until("s.patches.pictures > 0 && s.patches.about.data === 'examples' && !s.patches.busy")
    hand = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(tmp_path / "holiday")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        hand.send("Input.dispatchDragEvent", {"type": kind, "x": 500, "y": 400, "data": data})
        if kind == "dragOver":
            page.get_by_text("Drop a folder or zip of pictures").wait_for()
    told = here.until(f"s.patches.pictures === {2 * count} && !s.patches.busy")["patches"]
    assert re.fullmatch(r"dropped:[\w-]{12}/holiday", told["about"]["data"])
    page.get_by_text("2 classes, one for each subfolder").wait_for()  # as of the folder itself
    page.get_by_test_id("patches-scan").click()
    told = here.until(f"s.patches.done === {2 * count} && s.patches.scan.state === 'done' && !s.patches.busy")
    np.testing.assert_allclose(told["patches"]["highest"], activations(2 * count, CHANNELS).max(0), rtol=1e-5)


def test_a_channel_ascends(visit: Open, folder: Path) -> None:
    here = opened(visit, "examples", channel="2")
    here.until("s.patches.pictures === 4 && !s.patches.busy")
    here.page.get_by_test_id("patches-scan").click()
    here.until("s.patches.held?.channel === 2")
    here.page.get_by_test_id("patches-ascend").click()
    here.until("s.page === 'ascent' && s.selected === 2 && s.kept > 2 && location.search.includes('layer=block1')")
    here.until("Object.keys(s.tiles).join() === '2'")


def test_what_cannot_be_looked_through_is_told(visit: Open, tmp_path: Path, folder: Path) -> None:
    here = opened(visit, tmp_path / "none")
    page = here.page
    page.get_by_role("alert").filter(has_text="'none' is not there").wait_for()
    empty = tmp_path / "empty"
    empty.mkdir()
    page.get_by_test_id("patches-data").fill(str(empty))
    page.get_by_test_id("patches-data").press("Tab")
    page.get_by_role("alert").filter(has_text="no pictures in this folder").wait_for()
    (empty / "a.png").write_bytes(b"")
    page.get_by_test_id("patches-scan").click()
    page.get_by_role("alert").filter(has_text="Not one of the pictures can be read").wait_for()
    page.get_by_test_id("patches-folders").get_by_text("bundled examples").click()
    here.until("s.patches.pictures === 4 && !s.patches.busy")
    page.get_by_test_id("patches-layer").select_option("stem")
    page.get_by_test_id("patches-empty").get_by_text("48 channels of stem").wait_for()


def test_real_patches_stand_beside_a_synthetic_picture_and_rank_its_sweep(visit: Open, folder: Path) -> None:
    """In a layer that no other test here looks through."""
    here = visit().open("?model=imagenette-robust&layer=block3&filters=1-3&size=32&steps=4000")
    page = here.page
    here.until("s.real.find")
    here.page.get_by_test_id("real-find").click()  # looks through what was looked through last, or the examples
    told = here.until("s.page === 'patches' && s.patches.scan?.state === 'done' && s.patches.held?.channel === 1")
    assert told["patches"]["about"]["layer"] == "block3"
    page.get_by_test_id("tab-ascent").click()
    here.until("s.page === 'ascent' && s.real.known?.done > 0 && s.real.drawn && !s.real.find")
    assert here.pixels("real-canvas").std() > 5
    here.pause()
    here.until("/× the highest · held out 80 % · path 0.40 of 0.50/.test(s.real.facts)")
    page.get_by_test_id("sweep").click()
    page.get_by_test_id("values-1").fill("0, 1")
    page.get_by_test_id("axis-2").select_option("")
    page.get_by_test_id("sweep-steps").fill("8")
    page.get_by_test_id("sweep-begin").click()
    state = here.until(
        "s.sweep.tiles.length === 2 && s.sweep.tiles.every((t) => t.state === 'done' && t.judged === 8)", 40
    )
    page.get_by_test_id("sweep-score").select_option("path_similarity")
    page.get_by_test_id("sweep-ranked").check()
    best = sorted(state["sweep"]["tiles"], key=lambda tile: -tile["scores"]["path_similarity"])
    assert here.state()["sweep"]["order"] == [tile["run"] for tile in best]
    page.get_by_test_id("sweep-close").click()
    page.get_by_test_id("real-strip").click()
    here.until("s.page === 'patches' && s.patches.held?.channel === 1 && !s.patches.busy")
