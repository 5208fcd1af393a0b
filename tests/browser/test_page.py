"""The page around the pictures: keys, notices, themes, sizes, the first paint."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.conftest import PAUSED, Visit

pytestmark = pytest.mark.browser
Open = Callable[..., Visit]
SCROLLS = "document.scrollingElement.scrollWidth > innerWidth || document.scrollingElement.scrollHeight > innerHeight"


def test_first_paint_is_never_empty(visit: Open) -> None:
    here = visit()
    here.page.route("**/bokeh*.js*", lambda route: route.abort())
    here.open(frames=0)
    assert here.page.get_by_text("example", exact=True).count() >= 16
    pictures = here.page.locator(".tile .picture")
    assert pictures.count() == 16
    assert "poster.webp" in pictures.first.evaluate("(node) => getComputedStyle(node).backgroundImage")
    here.page.wait_for_function(
        "() => document.getElementById('stage-canvas').getContext('2d').getImageData(9, 9, 1, 1).data[3]"
    )
    here.noise.clear()  # Bokeh was kept away


def test_keys(visit: Open) -> None:
    here = visit().open()
    press = here.page.keyboard.press
    press("Space")
    end = here.until(PAUSED)["latest"]
    press("ArrowLeft")
    here.until(f"s.shown === {end - 1} && !s.live")
    press("Home")
    here.until("s.shown === 0")
    press("End")
    here.until(f"s.live && s.shown === {end}")
    press("]")
    here.until("s.selected === 1 && s.stage.channel === 1")
    press("[")
    here.until("s.selected === 0")
    press(".")
    here.until(f"s.latest === {end + 1}")
    press("x")
    assert here.page.get_by_test_id("stage-b").is_visible()
    press("p")
    assert here.page.locator(".frame.pinned").count() == 1
    press("t")
    assert here.page.evaluate("document.documentElement.dataset.theme") == "light"


def test_keys_rest_in_text_fields_and_can_be_switched_off(visit: Open) -> None:
    here = visit().open()
    here.page.keyboard.press("/")
    focused = """() => { let node = document.activeElement
      while (node?.shadowRoot?.activeElement) node = node.shadowRoot.activeElement
      return node?.tagName }"""
    assert here.page.evaluate(focused) == "INPUT"
    here.page.keyboard.type(" ]t")
    here.page.keyboard.press("Tab")
    state = here.state()
    assert (state["state"], state["selected"]) == ("running", 0)
    assert here.page.evaluate("document.documentElement.dataset.theme") == "dark"

    here.page.get_by_test_id("keys-button").click()
    help_text = here.page.get_by_test_id("help").inner_text()
    assert "Pause or run" in help_text
    here.page.locator("label", has=here.page.get_by_test_id("keys-on")).click()
    here.page.keyboard.press("Escape")
    here.page.keyboard.press("]")
    here.page.wait_for_timeout(200)
    assert here.state()["selected"] == 0


def test_space_means_the_run_after_a_click_on_another_button(visit: Open) -> None:
    here = visit().open()
    here.page.get_by_test_id("pixel").click()
    here.page.keyboard.press("Space")
    here.until("s.state === 'paused'")
    assert here.page.get_by_test_id("pixel").get_attribute("aria-pressed") == "true"


def test_notices_are_text(visit: Open) -> None:
    here = visit().open()
    bad = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
    notice = {
        "id": 900,
        "kind": "error",
        "title": bad,
        "message": bad,
        "hint": bad,
        "action": {"label": bad, "do": "live"},
    }
    here.page.evaluate("(notice) => vizcore.told('', 'notice', JSON.stringify(notice))", notice)
    shown = here.page.get_by_test_id("notice")
    assert bad in shown.inner_text()
    assert shown.locator("img, script").count() == 0
    shown.get_by_test_id("notice-dismiss").click()
    assert here.page.get_by_test_id("notice").count() == 0
    assert here.page.evaluate("window.hacked") is None


def test_everything_fits_without_scrolling(visit: Open) -> None:
    here = visit().open()
    assert not here.page.evaluate(SCROLLS)
    column = """(name) => { const n = document.querySelector(name)
      return [n.scrollHeight - n.clientHeight, n.scrollWidth - n.clientWidth] }"""
    assert max(here.page.evaluate(column, ".right")) <= 0
    assert max(here.page.evaluate(column, ".wall")) <= 0


@pytest.mark.parametrize(("filters", "count"), [("3", 1), ("0-63", 64)])
def test_one_and_sixty_four_tiles_fit(visit: Open, filters: str, count: int) -> None:
    here = visit().open(f"?model=imagenette-robust&layer=block2&filters={filters}", frames=1)
    assert len(here.state()["tiles"]) == count
    wall = here.page.get_by_test_id("wall").bounding_box()
    last = here.page.locator(".tile").last.bounding_box()
    assert last["y"] + last["height"] <= wall["y"] + wall["height"] + 1


def test_narrow_windows_put_the_right_column_under(visit: Open) -> None:
    here = visit().open()
    here.page.set_viewport_size({"width": 900, "height": 800})
    place = "(name) => document.querySelector(name).getBoundingClientRect()"
    here.page.wait_for_function(f"() => {{ const at = {place}; return at('.right').top >= at('.centre').bottom }}")
    right, centre = (here.page.locator(name).bounding_box() for name in (".right", ".centre"))
    assert right["y"] >= centre["y"] + centre["height"]
    assert not here.page.evaluate("document.scrollingElement.scrollWidth > innerWidth")
    assert here.page.get_by_test_id("stage-canvas").bounding_box()["width"] > 300
    here.page.set_viewport_size({"width": 400, "height": 800})
    here.page.wait_for_function("() => innerWidth === 400 && document.scrollingElement.scrollWidth <= innerWidth")
    assert here.page.get_by_test_id("stage-canvas").bounding_box()["width"] > 250


def test_reduced_motion_starts_nothing_by_itself(visit: Open) -> None:
    here = visit(reduced_motion="reduce").open(frames=0)
    here.until("s.state === 'none'")
    here.page.get_by_test_id("primary").click()
    here.until("s.kept >= 2")


def test_a_lost_connection_is_said_and_the_page_comes_back(visit: Open) -> None:
    here = visit().open()
    here.page.route("**/healthz", lambda route: route.abort())
    here.page.evaluate("window.before = true, vizcore.lost()")
    assert "lost" in here.page.get_by_test_id("notice").inner_text()
    assert here.page.get_by_test_id("connection").get_attribute("data-state") == "lost"
    with here.page.expect_event("requestfailed", lambda request: request.url.endswith("/healthz")):
        pass  # one more is refused
    here.page.unroute("**/healthz")
    here.page.wait_for_function("() => !window.before && window.vizcore?.state?.().run", timeout=15000)
    here.noise.clear()  # the browser reports the requests that failed


def test_names_for_those_who_do_not_see(visit: Open) -> None:
    here = visit().open()
    nameless = """() => [...document.querySelectorAll("button, input, a[href]")].filter((node) =>
      !(node.ariaLabel || node.innerText?.trim() || node.labels?.length || node.title))
      .map((node) => node.outerHTML.slice(0, 90))"""
    assert here.page.evaluate(nameless) == []
    here.pause()
    here.page.wait_for_function("() => /Paused, step/.test(document.getElementById('announcer').textContent)")


def test_the_link_holds_run_filter_and_step(visit: Open) -> None:
    here = visit().open(frames=9)
    here.page.keyboard.press("]")
    here.slide("history", 4)
    run = here.until("s.shown === 4 && s.selected === 1")["run"]
    here.page.get_by_test_id("share").click()
    query = here.page.evaluate("location.search")
    assert f"run={run}" in query
    assert query.endswith("&filter=1&step=4")
    again = visit()
    again.page.goto(again.address + query)
    assert again.until("s.shown === 4 && s.selected === 1 && !s.live")["run"] == run
    again.page.get_by_test_id("live").click()
    again.page.wait_for_function("() => !location.search.includes('step=')")


def test_the_picture_before_opens_its_run(visit: Open) -> None:
    here = visit().open(frames=6)
    old = here.pause()
    here.page.keyboard.press("r")
    here.until(f"s.run !== '{old['run']}' && s.shown >= 2")
    here.page.locator(".frame.before").click()
    state = here.until(f"s.run === '{old['run']}' && s.shown === {old['shown']}")
    assert state["selected"] == old["selected"]


def test_pictures_of_another_revision_are_fetched_again(visit: Open) -> None:
    here = visit().open(frames=8)
    state = here.pause()
    asked: list[str] = []
    here.page.on("request", lambda request: "/frames/" in request.url and asked.append(request.url))
    here.edit(state["run"], "INSERT INTO meta VALUES ('revision', '1')")
    here.until("s.revision === 1 && s.shown === s.latest")
    here.slide("history", 3)
    here.until("s.shown === 3")
    assert asked
    assert all(url.endswith("?r=1") for url in asked)


def test_the_parts_of_a_page_do_not_lie_over_each_other(visit: Open) -> None:
    here = visit().open(frames=1)
    overlaps = """() => {
      const parts = document.querySelector(".leaf:not([hidden])").firstElementChild.children
      const boxes = [...parts].filter((one) => one.checkVisibility()).map((one) => [one, one.getBoundingClientRect()])
      const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1
      const found = []
      for (const [one, a] of boxes) for (const [other, b] of boxes)
        if (one !== other && over(a, b)) found.push(`${one.className} / ${other.className}`)
      return found
    }"""
    for width in (1280, 700):
        here.page.set_viewport_size({"width": width, "height": 800})
        for tab in here.page.locator("[role=tab]").all():
            name = tab.get_attribute("data-to")
            tab.click()
            here.until(f"s.page === '{name}'")
            assert here.page.evaluate(overlaps) == [], (name, width)
