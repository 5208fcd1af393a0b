"""A visit from arrival to departure, over the engine without a network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.hub import Hub, Options
from app.pilot import PAUSE
from tests.app.conftest import Clock, Visit
from vizcore.errors import DownloadError, EngineError, LayerError, ModelError, StorageError
from vizcore.history import unpack
from vizcore.history.schema import PINNED
from vizcore.spec import PARAMS, build

Make = Callable[..., Visit]


def test_nothing_is_asked_before_the_page_is_there(visit: Make) -> None:
    new = visit()
    before = len(new.engine.calls)
    assert not new.doc.session_callbacks
    assert len(new.engine.calls) == before
    new.session.ready()
    assert len(new.doc.session_callbacks) == 1


def test_an_empty_address_shows_the_showcase(visit: Make) -> None:
    here = visit().arrive().go(turns=5)
    (spec,) = here.calls("begin")[0]
    assert (spec.model, spec.layer, spec.preset) == (here.hub.default_model(), "block2", "Crisp")
    assert (spec.channels, spec.size) == (tuple(range(16)), 128)
    assert here.told("run")["id"] == here.page.pilot.run
    assert here.told("status")["state"] == "running"
    assert here.told("kept")["steps"][0][0] == 0
    assert f"run={here.page.pilot.run}" in here.page.state.address
    assert here.page.controls.layer.value == "block2"
    assert here.page.controls.layer.completions[:2] == ["stem", "block1"]


def test_the_run_starts_without_a_hello(visit: Make) -> None:
    here = visit()
    here.session.ready()
    here.go(0.9)
    assert not here.calls("begin")
    here.go(0.3)
    assert len(here.calls("begin")) == 1
    here.ask("hello", theme="light")
    here.go(0.3)
    assert len(here.calls("begin")) == 1


@pytest.mark.parametrize(("query", "hello"), [("autostart=0", {}), ("", {"reduced": True})])
def test_no_motion_where_none_is_wanted(visit: Make, query: str, hello: dict[str, bool]) -> None:
    here = visit(query).arrive(**hello)
    assert not here.calls("begin")
    assert here.told("run")["layer"] == "block2"
    here.ask("toggle")
    here.go()
    assert len(here.calls("begin")) == 1


def test_pictures_stream_newest_first(visit: Make) -> None:
    here = visit().arrive().go(turns=3)
    header, pictures = unpack(here.page.stream.live.data["packed"][0].tobytes())
    assert header["step"] == here.page.pilot.reader.latest()
    assert len(pictures) == 16
    assert here.page.stream.live.data["run"] == [here.page.pilot.run]


def test_a_hot_parameter_turns_a_knob_and_the_newest_value_wins(visit: Make) -> None:
    here = visit().arrive().go(turns=2)
    for value in range(9):
        here.turn("jitter", value)
    here.turn("decay", 0.1)
    here.go(0.03)
    run = here.page.pilot.run
    assert here.calls("knob") == [(run, "jitter", 8), (run, "decay", 0.1)] or here.calls("knob") == [
        (run, "decay", 0.1)
    ]
    here.turn("jitter", 3)
    here.turn("jitter", 5)
    here.go(0.5)
    assert here.calls("knob")[-1] == (run, "jitter", 5)
    assert len(here.calls("begin")) == 1
    assert "jitter=5" in here.page.state.address
    label = here.told("kept")["knobs"][-1]
    assert label[1:] == ["jitter", 5, "Jitter 8 → 5 px"]
    assert here.page.curves.marks.data["text"][-1] == "Jitter 8 → 5 px"


def test_cold_changes_wait_for_a_pause_and_become_one_new_run(visit: Make, hub: Hub) -> None:
    here = visit().arrive().go(turns=2)
    old = here.page.pilot.run
    here.turn("size", 64)
    here.go(PAUSE / 2)
    here.page.controls.filters.value = "3, 5"
    here.turn("size", 80)
    here.go(PAUSE / 2)
    assert len(here.calls("begin")) == 1
    here.go(PAUSE)
    (spec,) = here.calls("begin")[-1]
    assert len(here.calls("begin")) == 2
    assert (spec.size, spec.channels) == (80, (3, 5))
    assert here.page.pilot.run != old
    assert hub.library.open(old).spec.size == 128  # kept
    assert here.engine.states[old].state == "resting"
    assert here.told("run")["channels"] == [3, 5]
    assert here.told("shown") == {"channel": 3, "step": None}


def test_another_layer_keeps_the_filters_it_has_and_another_model_brings_its_own(visit: Make) -> None:
    here = visit("filters=0-3,100").arrive()
    here.page.controls.layer.value = "block1"
    here.go()
    (spec,) = here.calls("begin")[-1]
    assert (spec.layer, spec.channels) == ("block1", (0, 1, 2, 3))
    here.page.controls.model.value = "digits"
    here.go()
    (spec,) = here.calls("begin")[-1]
    assert (spec.model, spec.layer, spec.size, len(spec.channels)) == ("digits", "conv2", 56, 16)
    assert here.told("run")["grey"]


def test_a_preset_replaces_the_parameters_but_not_the_target(visit: Make) -> None:
    here = visit("layer=block1&filters=2,4&seed=9").arrive()
    here.ask("preset", name="Paper 2")
    here.go()
    (spec,) = here.calls("begin")[-1]
    assert spec == build(spec.model, "block1", (2, 4), "Paper 2", size=128, seed=9)
    assert here.page.controls.parameters["optimizer"].value == "ascent"


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("layer", "blok1", "There is no layer"),
        ("filters", "0-15, x", "The list of filters"),
        ("filters", "500", "block2 has 128 filters"),
        ("objective", "channel(", "The objective has"),
        ("model", "../../etc/passwd", "There is no model"),
        ("model", "os:system", "There is no model"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_the_picture_stays(visit: Make, name: str, value: str, kind: str) -> None:
    here = visit().arrive().go(turns=2)
    run, packed = here.page.pilot.run, here.page.stream.live.data["packed"][0].tobytes()
    here.page.controls.show(model=here.page.controls.model.value)
    here.page._control(name, value)
    here.go(turns=0)
    told = here.told("notice")
    assert told["message"].startswith(kind)
    assert told["hint"]
    assert here.page.pilot.run == run
    assert here.page.stream.live.data["packed"][0].tobytes() == packed
    here.ask("dismiss", id=told["id"])
    assert here.told("notice") is None


def test_the_engine_may_refuse_and_the_page_goes_on(visit: Make) -> None:
    here = visit().arrive()
    here.engine.fail["pause"] = EngineError("The engine is starting again.", "Wait a moment.")
    here.ask("pause")
    here.go()
    assert here.told("notice")["message"] == "The engine is starting again."
    here.engine.fail["pause"] = RuntimeError("secret /path")  # type: ignore[assignment]
    here.ask("pause")
    here.go()
    assert "secret" not in here.session.frame.notice
    here.engine.fail.clear()
    here.ask("pause")
    here.go()
    assert here.told("status")["state"] == "paused"


def test_pause_step_resume_further_restart(visit: Make) -> None:
    here = visit("steps=4").arrive()
    here.ask("toggle")
    here.go()
    assert here.told("status")["state"] == "paused"
    here.ask("step")
    before = here.engine.states[here.page.pilot.run].step
    here.go(turns=3)
    assert here.engine.states[here.page.pilot.run].step == before + 1
    here.ask("toggle")
    here.go(turns=10)
    assert here.told("status")["state"] == "done"
    here.ask("further")
    here.go(turns=2)
    assert here.page.pilot.wanted.steps == 260
    assert here.told("status")["state"] == "running"
    assert here.page.controls.parameters["steps"].value == 260
    first = here.page.pilot.run
    here.ask("restart")
    here.go()
    assert here.page.pilot.run != first
    here.ask("newseed")
    here.go()
    assert len(here.calls("begin")) == 3


def test_a_run_that_fails_is_told_once_with_a_button(visit: Make) -> None:
    here = visit().arrive().go(turns=2)
    run = here.page.pilot.run
    error = {"kind": "EngineError", "message": "The run needs 9 GB, 1 GB is free.", "hint": "Try 160 px."}
    here.engine.states[run] = replace(here.engine.states[run], state="failed", error=error)
    here.go()
    told = here.told("notice")
    assert (told["message"], told["hint"], told["action"]["do"]) == (error["message"], error["hint"], "restart")
    here.ask("dismiss", id=told["id"])
    here.go()
    assert here.told("notice") is None
    here.ask("restart")
    here.go()
    assert here.told("status")["state"] == "running"


def test_loading_says_how_far_it_is(visit: Make) -> None:
    here = visit()
    waiting: Future[Any] = Future()
    here.hub._descriptions.clear()
    here.engine.describe = lambda model, arch=None: waiting  # type: ignore[method-assign]
    here.engine.loading["x"] = "fetching the weights: 3 of 5 MB (60 %)"
    here.arrive()
    assert here.told("status")["state"] == "loading"
    assert here.told("status")["note"] == "fetching the weights: 3 of 5 MB (60 %)"


def test_layers_are_walked_and_quick_steps_add_up(visit: Make) -> None:
    here = visit().arrive()
    here.ask("layer", by=-1)
    here.ask("layer", by=-1)
    here.ask("layer", by=-1)
    here.go()
    assert here.calls("begin")[-1][0].layer == "stem"
    assert len(here.calls("begin")) == 2


def test_dice_draws_as_many_filters_of_the_layer(visit: Make) -> None:
    here = visit("filters=1-5").arrive()
    here.ask("dice")
    here.go()
    (spec,) = here.calls("begin")[-1]
    assert len(spec.channels) == 5
    assert max(spec.channels) < 128


def test_a_reload_finds_the_run_and_its_knobs(visit: Make, hub: Hub) -> None:
    first = visit().arrive().go(turns=3)
    first.turn("rate", 0.0)
    first.go(turns=2)
    address = first.page.state.address
    first.session.close()
    again = visit(address).arrive().go(turns=2)
    assert again.page.pilot.run == first.page.pilot.run
    assert len(first.calls("begin")) == 1
    assert again.page.pilot.wanted.rate == 1.0
    assert again.page.state.address == address
    assert again.page.stream.live.data["run"] == [first.page.pilot.run]


def test_an_interrupted_run_is_taken_up_again(visit: Make, hub: Hub) -> None:
    first = visit().arrive().go(turns=3)
    run = first.page.pilot.run
    first.engine.flush()
    first.engine.tasks.pop(run).writer.close()
    first.engine.states.pop(run)  # a new server, the same library
    again = visit(f"run={run}").arrive().go(turns=3)
    assert again.calls("resume_run") == [(run,)]
    assert again.engine.states[run].step > 3


def test_an_unknown_run_offers_to_start_it(visit: Make) -> None:
    here = visit("run=20200101-000000-abcdef&layer=block1&filters=7").arrive()
    told = here.told("notice")
    assert told["kind"] == "error"
    assert told["action"]["do"] == "start"
    assert not here.calls("begin")
    here.ask("start")
    here.go()
    assert here.calls("begin")[0][0].channels == (7,)


@pytest.mark.parametrize(
    "query", ["model=/etc/passwd", "layer=nowhere", "filters=a", "rate=-1", "preset=Nope", "filters=999"]
)
def test_a_bad_address_is_told_and_the_default_shown(visit: Make, query: str) -> None:
    here = visit(query).arrive().go(turns=1)
    assert here.told("notice")["message"].endswith(".")
    assert here.page.pilot.run is not None


def test_two_pages_on_one_run_follow_each_other(visit: Make) -> None:
    one = visit().arrive().go(turns=2)
    two = visit(one.page.state.address).arrive()
    assert two.page.pilot.run == one.page.pilot.run
    two.turn("jitter", 2)
    two.go(0.3)
    one.go(0.3)
    assert one.page.controls.parameters["jitter"].value == 2
    assert one.page.pilot.wanted.jitter == 2
    two.ask("pause")
    two.go(0.3)
    one.go(0.3)
    assert one.told("status")["state"] == "paused"


def test_a_hand_on_a_knob_is_not_set_back_by_its_own_turns(visit: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    here = visit().arrive().go(turns=2)
    run, engine = here.page.pilot.run, here.engine
    assert run is not None
    late: list[tuple[Future[Any], Any]] = []

    def knob(run: str, name: str, value: Any) -> Future[Any]:
        future: Future[Any] = Future()
        late.append((future, lambda: future.set_result(type(engine).knob(engine, run, name, value).result())))
        return future

    def seen() -> tuple[Any, Any]:
        return here.page.controls.parameters["jitter"].value, here.page.pilot.wanted.jitter

    monkeypatch.setattr(engine, "knob", knob)
    here.turn("jitter", 1)
    here.go(0.03)
    late[0][1]()  # the first turn is in the file, and the page has not read it
    here.turn("jitter", 2)
    here.go(0.5)
    assert len(late) == 2
    assert seen() == (2, 2)
    type(engine).knob(engine, run, "jitter", 7).result()  # of another page, before the second turn gets there
    here.go(0.5)
    assert seen() == (2, 2)
    late[1][1]()
    here.go(0.5)
    assert seen() == (2, 2)
    type(engine).knob(engine, run, "jitter", 9).result()  # and after it
    here.go(0.5)
    assert seen() == (9, 9)
    here.turn("jitter", 3)
    here.go(0.5)
    late[2][0].set_exception(EngineError("No.", "Ask again."))  # it never got there: what comes now is another's
    here.go(0.1)
    type(engine).knob(engine, run, "jitter", 3).result()
    type(engine).knob(engine, run, "jitter", 4).result()
    here.go(0.5)
    assert seen() == (4, 4)


def test_two_pages_without_address_have_a_run_each(visit: Make) -> None:
    one, two = visit().arrive(), visit().arrive()
    assert one.page.pilot.run != two.page.pilot.run


def test_a_hidden_page_lets_its_run_rest(visit: Make) -> None:
    here = visit().arrive()
    here.ask("viewing", on=False)
    here.go()
    sent = here.page.stream.sent
    assert here.told("status")["state"] == "resting"
    here.go(3.0, turns=5)
    assert here.page.stream.sent == sent
    here.ask("viewing", on=True)
    here.go(turns=3)
    assert here.told("status")["state"] == "running"
    assert here.page.stream.sent > sent


def test_a_lost_connection_sets_a_flag_and_the_next_tick_lets_go(visit: Make) -> None:
    here = visit().arrive()
    run = here.page.pilot.run
    here.session.lost()
    assert here.page.pilot._watching == run
    here.go(0.06)
    assert here.calls("unwatch")[-1][0] == run
    assert here.engine.states[run].state == "resting"


def test_scrubbing_asks_for_evidence_at_rest_and_live_returns(visit: Make) -> None:
    here = visit().arrive().go(turns=6)
    here.ask("pause")
    here.go()
    asked = len(here.calls("evidence"))
    for step in (1, 2, 3, 2):
        here.ask("scrub", step=step, channel=4)
        here.page._slow_due = 0.0
        here.go(0.03)
    assert here.told("evidence")["pending"]
    here.go()
    run = here.page.pilot.run
    assert here.calls("evidence")[asked:] == [(run, 2, 4)]
    told = here.told("evidence")
    assert (told["step"], told["channel"], told["pending"]) == (2, 4, False)
    assert len(told["classes"]) == 5
    assert told["maps"][0]["url"].startswith("data:image/png;base64,")
    assert here.told("shown")["channel"] == 4
    here.ask("live")
    here.go()
    assert here.told("evidence")["step"] == here.page.pilot.reader.latest()


def test_evidence_that_fails_is_a_text_beside_the_picture(visit: Make) -> None:
    here = visit().arrive().go(turns=2)
    here.engine.fail["evidence"] = LayerError("No classes here.", "Choose another.")
    here.ask("pause")
    here.ask("scrub", step=1, channel=2)
    here.go()
    assert here.told("evidence")["error"] == "No classes here."
    assert here.told("notice") is None


def test_any_value_of_any_parameter_is_survived(visit: Make) -> None:
    here = visit("autostart=0").arrive()
    for name, meta in PARAMS.items():
        for value in (1e308, -1e308, "x" * 10_000, None, [], {"a": 1}, True, "NaN", 0):
            here.ask("set", name=name, value=value)
        here.go(0.03)
        wanted = getattr(here.page.pilot.wanted, name)
        assert meta.coerce(wanted) == wanted
    here.go()
    assert here.told("notice") is None


NONSENSE = (
    "", "{", "[]", "null", '"x"', '{"do": []}', '{"do": "explode"}', '{"do":"set"}', '{"do":"theme","name":"<b>"}',
    '{"do":"select","channel":"a"}', '{"do":"scrub","step":-1}', '{"do":"scrub","step":1e99}', "[" * 5000, "x" * 10**6,
    '{"do":"open","run":"../../x"}', '{"do":"layer","by":7}', '{"do":"preset","index":99}',
    '{"do":"dismiss","id":true}',
    '{"do":"further","by":"many"}', '{"do":"start","address":"run=&filters=%00"}', '{"do":"model","name":"\\u0000"}',
)  # fmt: skip


def test_no_intent_breaks_the_page(visit: Make) -> None:
    here = visit().arrive()
    for intent in NONSENSE:
        here.session.asked.intent = intent
        here.go(0.3, turns=1)
        assert here.told("status")["state"] in ("running", "loading"), intent
    here.doc.validate()


def test_what_the_page_is_told_is_json_without_nan(visit: Make) -> None:
    here = visit().arrive().go(turns=2)
    for owner, name in [
        *((here.page.state, name) for name in ("run", "status", "kept", "evidence", "presets")),
        (here.session.frame, "keys"),
    ]:
        json.loads(getattr(owner, name), parse_constant=lambda word: pytest.fail(word))
    assert math.isfinite(here.told("status")["rate"])


def test_an_unchanged_text_is_not_sent_again(visit: Make) -> None:
    here = visit().arrive().go(turns=2)
    here.ask("pause")
    here.go(4.0)
    changes: list[object] = []
    here.doc.on_change(lambda event: changes.append(event))
    here.go(2.0)
    assert changes == []


def test_clock_is_the_only_time(visit: Make, clock: Clock) -> None:
    here = visit().arrive()
    here.turn("size", 64)
    for _ in range(50):
        here.session.tick()
    assert len(here.calls("begin")) == 1


@pytest.mark.parametrize(
    ("query", "intent"),
    [
        ("model=/etc/passwd&arch=resnet18", {}),
        ("model=weights.safetensors", {}),
        ("model=os:system&layer=x&filters=0", {}),
        ("model=timm:../../x", {}),
        ("", {"do": "model", "name": "../weights.pt"}),
        ("", {"do": "model", "name": "package.module:factory"}),
        ("", {"do": "start", "address": "model=/etc/passwd&arch=resnet18&layer=x&filters=0"}),
    ],
)
def test_no_way_in_names_a_file_or_code(visit: Make, query: str, intent: dict[str, str]) -> None:
    here = visit(query).arrive()
    if intent:
        here.ask(**intent)
        here.go()
    assert here.told("notice")["message"].startswith("There is no model")
    assert {name for (name,) in here.calls("describe")} == {here.hub.default_model()}
    assert {spec.model for (spec,) in here.calls("begin")} == {here.hub.default_model()}


def test_an_architecture_is_the_servers_to_name(visit: Make, hub: Hub) -> None:
    here = visit("model=digits&arch=resnet18").arrive()
    assert here.calls("begin")[0][0].arch is None
    hub.options = Options(model="/srv/own.safetensors", arch="resnet18")
    own = visit().arrive()
    (spec,) = own.calls("begin")[-1]
    assert (spec.model, spec.arch) == ("/srv/own.safetensors", "resnet18")
    own.ask("model", name="digits")
    own.go()
    assert own.calls("begin")[-1][0].arch is None
    own.ask("model", name="/srv/own.safetensors")
    own.go()
    assert own.calls("begin")[-1][0].arch == "resnet18"


def test_a_run_shows_its_pictures_although_its_network_is_refused(visit: Make, hub: Hub) -> None:
    first = visit().arrive().go(turns=3)
    spec = first.page.pilot.wanted.replace(model="/etc/own.pt", arch="resnet18", layer="x")
    run, writer = hub.library.create(spec)
    with writer:
        size = (len(spec.channels), spec.size, spec.size, 3)
        writer.add(0, np.zeros(size, np.uint8), np.zeros(size[0]), np.ones(size[0]))
        writer.set_state("done")
    first.engine.fail["describe"] = ModelError("A weights file can only be named on the command line.", "Start it so.")
    here = visit(f"run={run}").arrive()
    assert here.told("notice")["message"].startswith("A weights file")
    assert here.page.stream.live.data["run"] == [run]
    assert here.told("run")["layers"] == []
    del here.engine.fail["describe"]
    here.ask("model", name="digits")  # and on from there
    here.go()
    assert here.calls("begin")[-1][0].model == "digits"


def test_a_link_holds_step_and_filter(visit: Make) -> None:
    first = visit().arrive().go(turns=6)
    here = visit(f"{first.page.state.address}&step=2&filter=5").arrive()
    assert here.told("shown") == {"channel": 5, "step": 2}
    here.turn("size", 64)  # another run: live again, the filter stays
    here.go(1)
    assert here.told("shown") == {"channel": 5, "step": None}
    here.ask("open", run=first.page.pilot.run, step=4, channel=7)
    here.go()
    assert here.page.pilot.run == first.page.pilot.run
    assert here.told("shown") == {"channel": 7, "step": 4}
    odd = visit(f"{first.page.state.address}&step=-1&filter=999").arrive()
    assert odd.told("shown") == {"channel": 0, "step": None}


def test_an_old_run_opened_while_another_begins_takes_knobs(visit: Make) -> None:
    here = visit().arrive().go(turns=2)
    old = here.page.pilot.run
    here.ask("restart")
    here.page.pilot.tick()  # the engine begins
    here.ask("open", run=old)
    here.go()
    assert here.page.pilot.run == old
    here.turn("jitter", 3)
    here.go()
    assert here.calls("knob")[-1] == (old, "jitter", 3)


def test_steps_made_anew_are_another_revision(visit: Make) -> None:
    here = visit().arrive().go(turns=8)
    here.ask("pause")
    here.go()
    run, channels = here.page.pilot.run, here.page.pilot.reader.spec.channels
    assert here.told("kept")["revision"] == 0
    before = np.array(here.page.curves.scores.data["ys"][0])
    writer, last = here.engine.tasks[run].writer, here.page.curves.last
    writer.rewind(3)
    ones = np.ones(len(channels))
    for step in range(4, last + 1):
        writer.add_scores(step, 100 * ones, ones)
    writer.flush()
    here.go()
    assert here.told("kept")["revision"] == 1
    after = np.array(here.page.curves.scores.data["ys"][0])
    assert np.all(after[:4] == before[:4])
    assert np.all(after[4:] == 100)


def test_a_preset_of_the_paper_says_what_helps(visit: Make) -> None:
    here = visit().arrive()
    for name, knob in (("Paper 3", "rate"), ("Paper 4", "small_contribution")):
        here.ask("preset", name=name)
        here.go(1)
        told = here.told("notice")
        assert (told["kind"], told["action"]["name"]) == ("info", knob)
        here.ask(**{key: value for key, value in told["action"].items() if key != "label"})
        here.go()
        assert here.calls("knob")[-1] == (here.page.pilot.run, knob, told["action"]["value"])
    here.ask("preset", name="Crisp")
    here.go(1)
    assert here.told("notice") is None


def test_a_pinned_step_is_kept_for_good(visit: Make, hub: Hub) -> None:
    here = visit().arrive().go(turns=5)
    run = here.page.pilot.run
    here.ask("pin", step=3)
    hub._aside.submit(lambda: None).result()
    here.go()
    assert here.page.pilot.reader._rows("SELECT step FROM picture WHERE kept = ?", PINNED) == [(3,)]
    here.ask("pin", step=8000)  # none there: nothing to keep
    here.engine.tasks[run].writer.close()
    hub.library.path(run).unlink()
    here.ask("pin", step=2)
    hub._aside.submit(lambda: None).result()
    here.go()
    assert here.told("notice")["message"] == "There is no such run."


def test_a_model_that_does_not_arrive_can_be_tried_again(visit: Make) -> None:
    here = visit().arrive().go(turns=2)
    run, count = here.page.pilot.run, len(here.calls("begin"))
    here.engine.fail["describe"] = DownloadError("It cannot be reached.", "Check the network.")
    here.page.controls.model.value = "resnet18"
    here.go()
    told = here.told("notice")
    assert (told["action"]["do"], told["action"]["name"]) == ("model", "resnet18")
    assert here.page.controls.model.value == here.hub.default_model()  # choosing it again is a change again
    assert (here.page.pilot.run, len(here.calls("begin"))) == (run, count)
    del here.engine.fail["describe"]
    here.ask(**{key: value for key, value in told["action"].items() if key != "label"})
    here.go()
    assert here.calls("begin")[-1][0].model == "resnet18"


@pytest.mark.parametrize("model", ["own.safetensors", "nonesuch"])
def test_a_server_whose_network_is_refused_shows_the_bundled_one(visit: Make, hub: Hub, model: str) -> None:
    hub.options = Options(model=model)
    whole = hub.engine.describe

    def describe(name: str, arch: str | None = None) -> Future[Any]:
        if name != model:
            return whole(name, arch)
        refused: Future[Any] = Future()
        refused.set_exception(ModelError("What network is it for?", "Add --arch squeezenet1_0."))
        return refused

    hub.engine.describe = describe
    here = visit().arrive().go(turns=2)
    assert here.calls("begin")[0][0].model == hub.showcase_model()
    told = here.told("notice")
    assert told["message"] == "What network is it for?"
    assert told["hint"] == f"Add --arch squeezenet1_0. Meanwhile this is {hub.showcase_model()}."
    assert here.page.stream.live.data["run"] == [here.page.pilot.run]


def test_an_engine_that_is_gone_is_tried_again(visit: Make) -> None:
    here = visit()
    here.hub._descriptions.clear()
    here.engine.fail["describe"] = EngineError("The engine stopped.", "Try again.")
    here.arrive()
    told = here.told("notice")
    assert told["action"]["do"] == "start"
    assert not here.calls("begin")
    here.engine.fail.clear()
    here.ask("start")
    here.go()
    assert len(here.calls("begin")) == 1


def test_an_address_that_the_engine_refuses_shows_the_default(visit: Make) -> None:
    here = visit("objective=channel(3&layer=block1").arrive().go(turns=2)
    assert "bracket" in here.told("notice")["message"]
    first, second = (spec for (spec,) in here.calls("begin"))
    assert (first.objective, second.objective, second.layer) == ("channel(3", "channel", "block2")
    assert here.page.pilot.run is not None


def test_what_the_engine_refuses_is_not_wanted_any_more_and_can_be_undone(visit: Make) -> None:
    here = visit().arrive().go(turns=2)
    run, address = here.page.pilot.run, here.page.state.address
    here.page.controls.objective.value = "channel(3"
    here.go()
    told = here.told("notice")
    assert told["action"]["do"] == "undo"
    assert here.page.controls.objective.value == "channel(3"  # to be corrected
    assert (here.page.pilot.run, here.page.state.address) == (run, address)
    here.ask("undo")
    here.go()
    assert here.page.controls.objective.value == "channel"
    here.page.controls.filters.value = "2-4"
    here.go()
    assert here.calls("begin")[-1][0].objective == "channel"
    here.page.controls.filters.value = "4-2"
    here.go()
    assert here.told("notice")["action"]["do"] == "undo"


def test_a_full_disk_keeps_the_old_run_and_begins_the_wanted_one_later(visit: Make) -> None:
    here = visit().arrive().go(turns=2)
    run = here.page.pilot.run
    here.engine.fail["begin"] = StorageError("The disk is full.", "Free some space.")
    here.turn("size", 64)
    here.go()
    told = here.told("notice")
    assert here.page.pilot.run == run
    assert here.page.controls.parameters["size"].value == 128
    here.ask(do="start", address=told["action"]["address"])
    here.go()
    assert here.page.pilot.wanted.size == 128  # still full, still the same run
    here.engine.fail.clear()
    here.ask(do="start", address=told["action"]["address"])
    here.go()
    assert here.calls("begin")[-1][0].size == 64
    assert here.page.pilot.run != run


def test_an_unknown_run_without_a_target_offers_the_showcase(visit: Make) -> None:
    here = visit("run=20200101-000000-abcdef").arrive()
    assert here.told("notice")["action"] == {"label": "Start the showcase", "do": "start"}
    here.ask("start")
    here.go()
    assert here.calls("begin")[0][0].layer == "block2"


def test_a_run_that_cannot_be_taken_up_says_so_once_and_stays_as_it_is(visit: Make, hub: Hub) -> None:
    first = visit().arrive().go(turns=3)
    run = first.page.pilot.run
    first.engine.tasks.pop(run).writer.close()
    first.engine.states.pop(run)
    with hub.library.open(run) as reader:
        steps = reader.spec.steps
    first.page.close()
    first.engine.fail["resume_run"] = StorageError("The run library cannot be written.", "Check its permissions.")
    here = visit(f"run={run}&autostart=0").arrive()
    here.ask("further")
    here.go()
    told, asked = here.told("notice"), len(here.calls("resume_run"))
    assert told["action"]["do"] == "resume"
    here.go(2)
    assert here.told("notice") == told
    assert len(here.calls("resume_run")) == asked
    assert here.page.pilot.wanted.steps == steps
    here.ask("resume")
    here.go()
    assert here.told("notice") == told  # the same is not told again beside itself
