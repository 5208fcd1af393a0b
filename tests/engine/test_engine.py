"""A real child with a small network: runs begin, pause, turn, rest, wake and go further."""

from __future__ import annotations

import io

import numpy as np
import pytest
from engine_helpers import TIMEOUT, in_state, tiny, until
from PIL import Image

from vizcore.engine import Engine
from vizcore.errors import EngineError, HistoryError, LayerError, ModelError, SpecError, VizcoreError
from vizcore.history import RunReader
from vizcore.runs import Library


def begin(engine: Engine, steps: int = 8192, **values: object) -> str:
    return engine.begin(tiny(steps, **values), keep=True).result(TIMEOUT)


def computed(library: Library, run: str) -> list[int]:
    with library.open(run) as reader:
        return [int(step) for step in reader.scores()[0]]


def test_a_run_computes_to_its_end_and_its_frames_are_in_the_file(engine: Engine, library: Library) -> None:
    run = begin(engine, steps=20)
    state = in_state(engine, run, "done")
    assert (state.step, state.steps, state.device, state.error) == (20, 20, "cpu", None)
    assert state.statuses == ("ok", "ok")
    assert state.seconds > 0
    assert state.memory
    with library.open(run) as reader:
        until(lambda: reader.state == "done")
        assert list(reader.steps()) == list(range(21))
        assert list(reader.scores()[0]) == list(range(21))
        assert reader.checkpoints()[-1] == 20
        assert reader.meta["environment"]["device"] == "cpu"


def test_nothing_is_computed_after_the_answer_to_pause(engine: Engine, library: Library) -> None:
    run = begin(engine)
    until(lambda: engine.states[run].step > 5)
    step = engine.pause(run).result(TIMEOUT)
    assert in_state(engine, run, "paused").step == step
    # Another run in between: the engine works, and this one stands.
    in_state(engine, begin(engine, steps=10), "done")
    assert engine.states[run].step == step
    until(lambda: computed(library, run)[-1] == step)
    assert engine.resume(run).result(TIMEOUT) == step + 1
    until(lambda: engine.states[run].step > step)
    engine.stop(run).result(TIMEOUT)


def test_single_steps_of_a_paused_run_are_shown(engine: Engine, library: Library) -> None:
    run = begin(engine)
    step = engine.pause(run).result(TIMEOUT)
    assert engine.step(run).result(TIMEOUT) == step + 1
    assert engine.step(run, 3).result(TIMEOUT) == step + 4
    assert engine.states[run].state == "paused"
    with library.open(run) as reader:
        assert reader.latest() == step + 4
    with pytest.raises(EngineError, match="between 1 and"):
        engine.step(run, 0).result(TIMEOUT)
    engine.stop(run).result(TIMEOUT)


def test_a_knob_is_logged_with_the_step_from_which_it_acts(engine: Engine, library: Library) -> None:
    runs = [begin(engine, steps=8, seed=5) for _ in range(2)]
    for run in runs:
        in_state(engine, run, "done")
    at = engine.knob(runs[0], "rate", 0.5).result(TIMEOUT)
    assert at == 8
    for run in runs:
        engine.knob(run, "steps", 16).result(TIMEOUT)
    for run in runs:
        until(lambda run=run: engine.states[run].step == 16)
    with library.open(runs[0]) as turned, library.open(runs[1]) as plain:
        until(lambda: len(turned.scores()[0]) == 17 == len(plain.scores()[0]))
        assert turned.knobs() == [(8, "rate", 0.5), (8, "steps", 16)]
        same = np.all(turned.scores()[1] == plain.scores()[1], axis=1)
    assert same[: at + 1].all()  # frame k is the picture before update k
    assert not same[at + 1]


def test_a_cold_or_bad_knob_is_refused_and_changes_nothing(engine: Engine, library: Library) -> None:
    run = begin(engine, steps=4)
    in_state(engine, run, "done")
    for name, value in (("size", 64), ("rate", -1), ("nonsense", 1)):
        with pytest.raises(SpecError):
            engine.knob(run, name, value).result(TIMEOUT)
    with library.open(run) as reader:
        assert reader.knobs() == []


def test_a_done_run_goes_further(engine: Engine, library: Library) -> None:
    run = begin(engine, steps=6)
    in_state(engine, run, "done")
    engine.knob(run, "steps", 12).result(TIMEOUT)
    until(lambda: engine.states[run].step == 12 and engine.states[run].state == "done")
    until(lambda: computed(library, run) == list(range(13)))


def test_two_runs_take_turns(engine: Engine) -> None:
    quick, slow = begin(engine, channels="0"), begin(engine, channels="0-31")
    until(lambda: all(engine.states[run].step > 20 for run in (quick, slow)))
    base = {run: engine.states[run].seconds for run in (quick, slow)}
    until(lambda: all(engine.states[run].seconds - base[run] > 1 for run in (quick, slow)))
    used = [engine.states[run].seconds - base[run] for run in (quick, slow)]
    for run in (quick, slow):
        engine.stop(run).result(TIMEOUT)
    assert 0.25 < used[0] / used[1] < 4  # by steps it would be one to thirty


def test_an_unwatched_run_rests_and_wakes(engine: Engine) -> None:
    run = engine.begin(tiny()).result(TIMEOUT)
    engine.watch(run, "anna").result(TIMEOUT)
    engine.watch(run, "otto").result(TIMEOUT)
    engine.unwatch(run, "anna").result(TIMEOUT)
    until(lambda: engine.states[run].seconds > 1)
    assert engine.states[run].state == "running"
    engine.unwatch(run, "otto").result(TIMEOUT)
    step = in_state(engine, run, "resting").step
    engine.watch(run, "anna").result(TIMEOUT)
    until(lambda: engine.states[run].state == "running" and engine.states[run].step > step)
    engine.stop(run).result(TIMEOUT)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"model": "nonesuch"}, ModelError),
        ({"layer": "conv9"}, LayerError),
        ({"channels": "31-32"}, LayerError),
        ({"model": "digits", "layer": "fc1", "objective": "nonsense("}, SpecError),
        ({"model": "os:getcwd"}, ModelError),
    ],
)
def test_what_cannot_run_is_refused_and_leaves_no_file(
    engine: Engine, library: Library, values: dict[str, object], error: type[VizcoreError]
) -> None:
    before = [info.id for info in library.list()]
    with pytest.raises(error) as caught:
        begin(engine, steps=4, **values)
    assert caught.value.hint
    assert str(library.home) not in str(caught.value)
    assert [info.id for info in library.list()] == before


def test_unknown_runs(engine: Engine) -> None:
    for run in ("20200101-000000-000000", "../../etc/passwd"):
        with pytest.raises(HistoryError, match="no such run"):
            engine.resume_run(run).result(TIMEOUT)
        with pytest.raises(HistoryError, match="no such run"):
            engine.evidence(run, 0, 0).result(TIMEOUT)


def test_models_and_description(engine: Engine) -> None:
    names = {entry["name"]: entry for entry in engine.models().result(TIMEOUT)}
    assert names["digits"]["source"] == "bundled"
    assert names["squeezenet1_0"]["classes"] == 1000
    told = engine.describe("digits").result(TIMEOUT)
    assert told["device"] == "cpu"
    assert told["card"]["channels"] == 1
    conv2 = next(layer for layer in told["layers"] if layer["path"] == "conv2")
    assert conv2["channels"] == 32
    with pytest.raises(ModelError):
        engine.describe("nonesuch").result(TIMEOUT)


def test_evidence_of_a_stored_picture(engine: Engine) -> None:
    run = begin(engine, steps=4, channels="3,7")
    in_state(engine, run, "done")
    told = engine.evidence(run, 4, 7).result(TIMEOUT)
    assert len(told["classes"]) == 5
    probabilities = [p for _, p in told["classes"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 < sum(probabilities) <= 1.0001
    assert len(told["maps"]) == 16
    assert told["maps"][0]["channel"] == 7
    assert len({m["channel"] for m in told["maps"]}) == 16
    with Image.open(io.BytesIO(told["maps"][0]["png"])) as picture:
        assert picture.mode == "L"
    with pytest.raises(VizcoreError, match="not kept"):
        engine.evidence(run, 4000, 7).result(TIMEOUT)


def test_old_runs_let_go_of_their_memory_and_come_back(engine: Engine, library: Library) -> None:
    runs = [begin(engine, steps=3) for _ in range(10)]
    for run in runs:
        in_state(engine, run, "done")
    released = until(lambda: [run for run in runs if not library.info(run).active])
    assert isinstance(released, list)
    engine.knob(released[0], "steps", 5).result(TIMEOUT)
    until(lambda: engine.states[released[0]].step == 5 and engine.states[released[0]].state == "done")
    until(lambda: computed(library, released[0]) == list(range(6)))


def test_two_engines_on_one_library_do_not_write_one_run(engine: Engine, library: Library) -> None:
    run, held = begin(engine), begin(engine)
    engine.stop(held).result(TIMEOUT)
    with Engine(library, device="cpu") as other:
        # Paused while its network is still being loaded, a run stays paused.
        taken, paused = other.resume_run(held, keep=True), other.pause(held)
        assert paused.result(TIMEOUT) + 1 == taken.result(TIMEOUT)
        assert other.states[held].state == "paused"
        assert other.loading == {}
        with pytest.raises(VizcoreError, match=r"in use|another|goes on|writes"):
            other.resume_run(run).result(TIMEOUT)
        own = begin(other, steps=5)
        in_state(other, own, "done")
        assert own != run
        step = engine.states[run].step
        until(lambda: engine.states[run].step > step)
        engine.stop(run).result(TIMEOUT)
        other.resume_run(run, keep=True).result(TIMEOUT)
        step = other.states[run].step
        until(lambda: other.states[run].step > step)
        other.stop(run).result(TIMEOUT)
    with RunReader(library.path(run)) as reader:
        steps = reader.scores()[0]
        assert list(steps) == list(range(len(steps)))
