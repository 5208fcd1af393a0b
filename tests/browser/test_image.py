"""The page Image in a real browser: inputs, the maps on the canvas, holding, backward views, the camera."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.app.fake_look import METHODS, SIDE, maps
from tests.browser.conftest import FLAGS, Visit
from vizcore.look import display

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
READY = "s.image.source && s.image.back && s.image.strip > 0 && !s.image.busy"
CAMERA = "--use-fake-device-for-media-stream"


def png(seed: int, side: int = 40) -> bytes:
    """A noise picture as a PNG."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def opened(visit: Open, query: str = "?page=image", **options: Any) -> Visit:
    here = visit(**options)
    here.page.goto(here.address + query)
    here.until(READY)
    return here


def bring(here: Visit, name: str, data: bytes) -> None:
    here.page.get_by_test_id("image-file").set_input_files({"name": name, "mimeType": "image/png", "buffer": data})


def drop(here: Visit, name: str, data: bytes) -> None:
    here.page.evaluate(
        """([name, text]) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
          const given = new DataTransfer()
          given.items.add(new File([bytes], name, {type: "image/png"}))
          for (const kind of ["dragenter", "dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: given, bubbles: true, cancelable: true}))
        }""",
        [name, base64.b64encode(data).decode()],
    )


def test_an_upload_a_drop_a_bad_file_and_a_held_unit(visit: Open) -> None:
    here = opened(visit, "?page=image&model=imagenette-robust&layer=block1")
    page = here.page
    assert here.state()["image"]["kind"] == "example"
    bring(here, "noise.png", png(1))
    told = here.until("s.image.source === 'noise.png' && s.image.back.source === 'noise.png' && !s.image.busy")["image"]
    peaks = maps(png(1), 64).max((1, 2))
    np.testing.assert_allclose(told["peaks"], peaks, rtol=1e-3)

    # A click holds a unit, which stays while the picture changes.
    page.get_by_test_id("image-grid").click(position={"x": 5, "y": 5})
    here.until("s.image.held.channel === 0 && s.image.back.channel === 0")
    page.get_by_test_id("image-grid").press("ArrowRight")
    told = here.until("s.image.back.channel === 1 && s.image.back.score === 2.5")["image"]
    drop(here, "dropped.png", png(2))
    told = here.until("s.image.back.source === 'dropped.png' && !s.image.busy")["image"]
    assert told["held"] == {"layer": "block1", "channel": 1}
    assert page.get_by_test_id("image-unit").inner_text() == "Unit 1 of block1"
    assert "dropping" not in page.get_by_test_id("page").get_attribute("class")

    # What cannot be read is told; the last good view stays.
    before = here.pixels("image-grid")
    bring(here, "broken.png", png(3)[:200])
    page.get_by_role("alert").filter(has_text="incomplete or damaged").wait_for()
    assert here.state()["image"]["source"] == "dropped.png"
    np.testing.assert_array_equal(here.pixels("image-grid"), before)
    bring(here, "text.png", b"no picture at all")
    page.get_by_role("alert").filter(has_text="no PNG, JPEG or WebP").wait_for()
    bring(here, "noise.png", png(1))
    here.until("s.image.source === 'noise.png' && !s.image.busy")
    assert page.get_by_role("alert").count() == 0


def test_the_canvas_shows_what_display_paints(visit: Open) -> None:
    here = opened(visit, "?page=image&layer=block1&unit=5")
    bring(here, "noise.png", png(4))
    here.until("s.image.back.source === 'noise.png' && !s.image.busy")
    values = maps(png(4), 64)
    for mode in display.MAP_MODES:
        here.page.get_by_test_id("image-show").select_option(mode)
        wanted = display.maps(values[5:6], mode, shared=False)[0].astype(int)
        off = np.abs(here.pixels("image-map") - wanted)
        assert off.max() <= 3, mode  # values come as float16
    here.page.get_by_test_id("image-sort").select_option("response")
    told = here.state()["image"]
    assert told["order"] == sorted(range(64), key=lambda i: (-told["peaks"][i], i))
    here.page.get_by_test_id("image-grid").hover(position={"x": 4, "y": 4})
    tip = here.page.get_by_test_id("image-tip").inner_text()
    assert tip.startswith(f"{told['order'][0]}: ")


def test_methods_give_three_panes_or_say_why_not(visit: Open) -> None:
    here = opened(visit, "?page=image&layer=block2&unit=3&method=guided")
    assert here.state()["image"]["back"]["method"] == "guided"
    heat = here.pixels("image-heat")
    assert heat.std() > 5
    focus, original = here.pixels("image-focus"), here.pixels("image-original")
    same = (focus == original).all(-1).mean()
    assert 0.15 < same < 0.3  # a fifth of the pixels stays
    here.page.get_by_test_id("image-method").select_option("lrp")
    here.page.get_by_text("This network adds outside of modules.").wait_for()
    np.testing.assert_array_equal(here.pixels("image-heat"), heat)
    here.page.get_by_test_id("image-classes").get_by_role("button").nth(1).click()
    here.page.get_by_test_id("image-method").select_option("deconv")
    here.until("s.image.back.layer === '' && s.image.back.channel === 1")
    here.until("location.search.includes('unit=class%3A1')")


def test_each_method_is_followed_by_its_picture(visit: Open) -> None:
    here = opened(visit, "?page=image&layer=block2&unit=3")
    for method, _ in METHODS:
        if method != "lrp":  # this network cannot be asked by it
            here.page.get_by_test_id("image-method").select_option(method)
            here.until(f"s.image.back.method === '{method}' && s.image.back.channel === 3 && !s.image.busy")


def test_a_neuron_is_held_by_a_click_on_its_map(visit: Open) -> None:
    here = opened(visit, "?page=image&layer=block1&unit=5")
    page = here.page
    box = page.get_by_test_id("image-map").bounding_box()
    spot = {"x": (4 + 0.5) * box["width"] / SIDE, "y": (11 + 0.5) * box["height"] / SIDE}
    page.get_by_test_id("image-map").click(position=spot)
    told = here.until("s.image.back.y === 11 && s.image.back.x === 4 && !s.image.busy")["image"]
    assert told["held"] == {"layer": "block1", "channel": 5, "y": 11, "x": 4}
    assert told["back"]["score"] == pytest.approx(6.61)  # the engine was asked for that position
    assert page.get_by_test_id("image-unit").inner_text() == "Unit 5 at 11, 4 of block1"
    here.until("location.search.includes('unit=5%4011%2C4')")
    page.reload()
    here.until("s.image.back?.y === 11 && !s.image.busy")
    page.get_by_test_id("image-whole").click()
    here.until("s.image.back.y === null && s.image.back.score === 6.5")
    # A layer of numbers has units without maps; they are held and looked at all the same.
    page.get_by_test_id("image-layer").select_option("fc")
    here.until("s.image.layer === 'fc' && s.image.count === 10 && s.image.back.layer === 'fc' && !s.image.busy")
    page.get_by_test_id("image-grid").press("End")
    here.until("s.image.back.channel === 9")
    page.get_by_test_id("image-map").click()
    assert "y" not in here.state()["image"]["held"]


def test_a_method_is_checked_and_the_curve_goes_with_its_unit(visit: Open) -> None:
    here = opened(visit, "?page=image&layer=block1&unit=5&method=guided")
    page = here.page
    page.get_by_test_id("image-check").click()
    here.until("s.image.check.points?.length === 4")
    note = page.get_by_test_id("image-check-note")
    note.filter(has_text="correlation with the first map is 0.05.").wait_for()
    assert note.inner_text().endswith("1 of 4 points have no map (hollow). Read it with care.")
    curve = here.pixels("image-curve")
    assert curve.std() > 5
    box = page.get_by_test_id("image-curve").bounding_box()
    page.get_by_test_id("image-curve").hover(position={"x": 30 + (box["width"] - 38) / 3, "y": 40})
    page.get_by_test_id("image-check-note").filter(
        has_text="Random down to fc: magnitudes 0.60, signed 0.30."
    ).wait_for()
    page.get_by_test_id("image-grid").press("ArrowRight")
    here.until("s.image.back.channel === 6 && s.image.check.points === null")
    page.get_by_test_id("image-check").click()
    here.until("s.image.check.busy")
    page.get_by_test_id("image-check").click()  # stop
    here.until("!s.image.check.busy && s.image.check.points === null")
    page.get_by_test_id("image-method").select_option("lrp")
    assert page.get_by_test_id("image-check").is_disabled()


def film(tmp_path: Path, pictures: int) -> Path:
    """A video of ten pictures a second that grow brighter, or of sound alone."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    path = tmp_path / f"film-{pictures}.webm"
    with av.open(str(path), "w") as container:
        if pictures:
            stream = container.add_stream("libvpx", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            frames = [
                av.VideoFrame.from_ndarray(np.full((48, 64, 3), 12 * i, np.uint8), format="rgb24")
                for i in range(pictures)
            ]
        else:
            stream = container.add_stream("libopus", rate=48000)
            frames = [av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), format="s16", layout="mono")]
            frames[0].sample_rate = 48000
        for frame in [*frames, None]:
            for packet in stream.encode(frame):
                container.mux(packet)
    return path


def test_a_video_plays_waits_and_is_scrubbed(visit: Open, tmp_path: Path) -> None:
    here = opened(visit, "?page=image&layer=block1&unit=0")
    page = here.page
    page.get_by_test_id("image-file").set_input_files(film(tmp_path, 20))
    here.until("s.image.kind === 'video' && s.image.live && s.image.updates > 3")
    page.get_by_test_id("image-play").click()
    here.until("!s.image.live && !s.image.busy")
    seek = "(node, at) => { node.value = at; node.dispatchEvent(new Event('input', {bubbles: true})) }"
    for at, low, high in ((100, -0.3, 0.0), (900, 0.3, 0.9)):  # dark, bright
        page.get_by_test_id("image-seek").evaluate(seek, str(at))
        here.until(
            f"s.image.peaks[0] > {low} && s.image.peaks[0] < {high} && !s.image.busy && s.image.kind === 'video'"
        )
    page.keyboard.press("v")
    here.until("s.image.live")
    page.get_by_test_id("tab-library").click()
    here.until("!s.image.live")  # it waits behind another page
    page.get_by_test_id("tab-image").click()
    here.until("s.page === 'image' && s.image.kind === 'video' && !s.image.busy")
    page.get_by_test_id("image-file").set_input_files(film(tmp_path, 0))
    page.get_by_role("alert").filter(has_text="There are no frames in film-0.webm").wait_for()
    assert here.state()["image"]["kind"] == "video"  # the last good picture stays
    bring(here, "noise.png", png(1))
    here.until("s.image.source === 'noise.png' && !s.image.busy")
    assert page.get_by_test_id("image-film").is_hidden()
    assert page.get_by_role("alert").count() == 0


@pytest.fixture
def eyes(browser: Any, server: str, library: Path) -> Iterator[Open]:
    """Opens pages of a browser whose camera is made up, allowed or not."""
    seeing = browser.browser_type.launch(executable_path=shutil.which("chromium"), args=[*FLAGS, CAMERA])
    visits: list[Visit] = []

    def make(allowed: bool) -> Visit:
        context = seeing.new_context(permissions=["camera"] if allowed else [])
        visits.append(Visit(context.new_page(), server, library))
        return visits[-1]

    yield make
    noise = [line for one in visits for line in one.noise]
    seeing.close()
    assert not noise


def test_the_camera_is_looked_through_one_picture_at_a_time(eyes: Open) -> None:
    here = opened(eyes, "?page=image&layer=stem&unit=7", allowed=True)
    page = here.page
    page.evaluate(
        """() => {
          window.most = {}; window.now = {}
          const send = window.fetch
          window.fetch = async (url, options) => {
            const what = /look.(\\w+)/.exec(url)?.[1]
            now[what] = (now[what] ?? 0) + 1
            most[what] = Math.max(most[what] ?? 0, now[what])
            try { return await send(url, options) } finally { now[what] -= 1 }
          }
        }"""
    )
    page.get_by_test_id("image-camera").click()
    here.until("s.image.live && s.image.kind === 'camera' && s.image.looks > 3 && s.image.back.source === 'camera'")
    first = here.state()["image"]["peaks"]
    page.wait_for_function(
        "old => JSON.stringify(vizcore.state().image.peaks) !== old", arg=str(first).replace(" ", "")
    )
    assert here.state()["image"]["held"] == {"layer": "stem", "channel": 7}
    for layer in ("block1", "block2", "stem"):  # what is wished meanwhile waits its turn
        page.get_by_test_id("image-layer").select_option(layer)
    here.until("s.image.layer === 'stem' && s.image.count === 48")
    assert page.evaluate("most.maps") == 1
    assert page.evaluate("most.project") == 1
    page.get_by_test_id("image-camera").click()
    told = here.until("!s.image.live && !s.image.busy")["image"]
    assert told["kind"] == "camera"  # its last picture stays
    assert here.pixels("image-grid").std() > 5
    page.get_by_test_id("image-camera").click()
    here.until("s.image.live")
    page.get_by_test_id("tab-library").click()
    here.until("!s.image.live")  # nobody is watched behind another page


def test_a_camera_that_is_denied_is_told(eyes: Open) -> None:
    here = opened(eyes, allowed=False)
    here.page.get_by_test_id("image-camera").click()
    here.page.get_by_role("alert").filter(has_text="The camera was not allowed").wait_for()
    assert here.state()["image"]["kind"] == "example"
    assert not here.state()["image"]["live"]
