"""The page Generators in a real browser: chains walk, a knob is turned, the history is travelled in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.browser.conftest import Visit
from tests.browser.test_image import png

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]


def test_codes_walk_are_turned_left_and_taken_up_again(visit: Open) -> None:
    here = visit()
    page = here.page
    page.goto(f"{here.address}?page=generators")
    told = here.until("s.generators.run && s.generators.latest >= 2 && s.generators.painted")["generators"]
    assert (told["model"], told["generator"], told["spec"]["preset"]) == (
        "digits", "digits-generator", "noiseless joint PPGN-h",
    )  # fmt: skip
    assert told["spec"]["channels"] == list(range(30))
    assert page.get_by_test_id("generators-wall").locator("button.chain").count() == 30

    # other targets, another method: another run
    first = told["run"]
    page.get_by_test_id("generators-variant").select_option("DGN-AM")
    page.get_by_test_id("generators-steps").fill("5000")  # it does not end while we look
    page.get_by_test_id("generators-chains").fill("2")
    page.get_by_test_id("generators-targets").fill("3, 8")
    page.get_by_test_id("generators-targets").press("Enter")
    told = here.until(
        f"s.generators.run !== '{first}' && s.generators.spec.preset === 'DGN-AM' && "
        "s.generators.spec.channels.join() === '6,7,16,17' && s.generators.latest >= 3 && s.generators.painted"
    )["generators"]
    assert (told["spec"]["eps1"], told["spec"]["decay"], told["spec"]["gradient"]) == (0, 0.01, "logit")
    run = told["run"]

    # a knob in mid-run
    page.get_by_test_id("generators-eps1").fill("0.25")
    page.get_by_test_id("generators-eps1").press("Enter")
    told = here.until("s.generators.knobs.length === 1 && s.generators.now.eps1 === 0.25")["generators"]
    turned = told["knobs"][0][0]
    assert told["run"] == run
    assert turned > 0
    assert "ε1, prior 0 → 0.25" in page.get_by_test_id("generators-log").inner_text()

    # pause, one step, the history
    page.get_by_test_id("generators-run").click()
    here.until("s.generators.state === 'paused' && s.generators.painted.step === s.generators.latest")
    latest = here.state()["generators"]["latest"]
    page.get_by_test_id("generators-once").click()
    here.until(f"s.generators.latest === {latest + 1} && s.generators.painted.step === {latest + 1}")
    page.get_by_test_id("chain-17").click()
    here.until("s.generators.selected === 17")
    page.keyboard.press("Home")
    here.until("s.generators.painted.step === 0 && !s.generators.live")
    start = here.pixels("generators-stage")
    page.keyboard.press("ArrowRight")
    here.until("s.generators.painted.step === 1")
    here.slide("generators-slider", latest)
    here.until(f"s.generators.painted.step === {latest}")
    for step, shown in ((0, start), (latest, here.pixels("generators-stage"))):
        wanted, _ = here.stored(run, step, 17)
        assert np.abs(shown - wanted).max() <= 2
    assert not np.array_equal(start, here.pixels("generators-stage"))
    here.until(f"location.search.includes('step={latest}') && location.search.includes('filter=17')")

    # the same place from its address, and a fork from there
    address = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(address)
    told = here.until(
        f"s.generators.painted && s.generators.painted.step === {latest} && s.generators.selected === 17"
    )["generators"]
    assert told["run"] == run
    assert page.get_by_test_id("generators-targets").input_value() == "3, 8"
    page.get_by_test_id("generators-fork").click()
    told = here.until(f"s.generators.run !== '{run}' && s.generators.root === {latest}")["generators"]
    assert told["now"]["eps1"] == 0.25

    # it goes on to its end, whose chains are kept
    page.get_by_test_id("generators-live").click()
    page.get_by_test_id("generators-steps").fill(str(latest + 6))
    page.get_by_test_id("generators-steps").press("Enter")
    page.get_by_test_id("generators-above").fill("0")
    here.until("s.generators.state === 'done' && s.generators.ends === 1 && s.generators.live")
    page.get_by_test_id("generators-kept").locator("button").nth(3).wait_for()
    with page.expect_download() as sheet:
        page.get_by_test_id("generators-sheet").click()
    assert sheet.value.suggested_filename.endswith(".png")

    # a picture of which a part is known
    page.evaluate(
        """() => { window.sent = []; const send = window.fetch
          window.fetch = (to, how) => {
            if (String(to).includes("look/keep")) window.sent.push(how.body)
            return send(to, how)
          } }"""
    )
    page.get_by_test_id("generators-file").set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": png(3)}
    )
    page.get_by_test_id("generators-start").select_option("top")
    told = here.until("s.generators.spec.mask !== '' && s.generators.spec.source !== '' && s.generators.painted")[
        "generators"
    ]
    assert told["spec"]["eps4"] == 1
    mask = page.evaluate(
        """async () => { const picture = await createImageBitmap(window.sent[window.sent.length - 1])
          const pen = new OffscreenCanvas(picture.width, picture.height).getContext("2d")
          pen.drawImage(picture, 0, 0)
          return [picture.height, [...pen.getImageData(0, 0, 1, picture.height).data]] }"""
    )
    assert mask == [28, [255] * 14 * 4 + [0, 0, 0, 255] * 14]

    # opened again, the form has its picture and its mask
    before = told
    page.goto("about:blank")
    page.goto(f"{here.address}?page=generators&run={before['run']}")
    here.until(f"s.generators.run === '{before['run']}' && s.generators.painted")
    page.get_by_text("the run’s picture").wait_for()
    assert page.get_by_test_id("generators-start").input_value() == "top"
    page.get_by_test_id("generators-anew").click()
    told = here.until(f"s.generators.run !== '{before['run']}' && s.generators.painted")["generators"]
    assert [told["spec"][name] for name in ("source", "mask", "eps4", "spread")] == [
        before["spec"][name] for name in ("source", "mask", "eps4", "spread")
    ]

    # what cannot be is said, and the run stays
    page.get_by_test_id("generators-targets").fill("12")
    page.get_by_test_id("generators-targets").press("Enter")
    page.get_by_text("The network has no class 12.").wait_for()
    assert here.state()["generators"]["run"] == told["run"]


def test_an_empty_wall_says_why(visit: Open) -> None:
    here = visit()
    page, missing = here.page, "page=generators&run=20200101-000000-abcdef"
    assert "codes walk here by themselves" in page.request.get(here.address).text()  # until the network is there
    page.goto(f"{here.address}?{missing}&model=imagenette-robust")
    page.get_by_text("No generator paints pictures for").wait_for()
    page.goto("about:blank")
    page.goto(f"{here.address}?{missing}&model=digits")
    page.get_by_text("Start anew lets codes walk").wait_for()
    page.get_by_test_id("generators-anew").click()
    here.until("s.generators.painted")
    page.get_by_test_id("generators-empty").wait_for(state="detached")
