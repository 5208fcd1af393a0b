"""Looking at pictures in the engine's process, against the same in this one."""

from __future__ import annotations

import io
from concurrent.futures import CancelledError

import numpy as np
import pytest
from engine_helpers import TIMEOUT, in_state, tiny, until
from PIL import Image

from vizcore.engine import Engine
from vizcore.engine.answers import packed
from vizcore.engine.turns import in_turns
from vizcore.errors import LayerError, PictureError, SpecError
from vizcore.look import compare, report, weights
from vizcore.look.activations import Looker, strip
from vizcore.look.attribution import METHODS, attribute
from vizcore.look.display import panes
from vizcore.look.sanity import cascade
from vizcore.look.units import Unit
from vizcore.zoo.load import load


def picture(side: int = 40) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 255, (side, side, 3), dtype=np.uint8)


def png(side: int = 40) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture(side)).save(stream, "PNG")
    return stream.getvalue()


def opened(data: dict) -> np.ndarray:
    return np.frombuffer(data["values"], "<f2").reshape(data["shape"]).astype(np.float32) * data["scale"]


def test_maps_and_the_strip_are_those_of_a_looker(engine: Engine) -> None:
    network = load("digits")
    told = engine.maps(png(), "digits", "relu2").result(TIMEOUT)
    seen = Looker(network, "relu2").look(picture())
    np.testing.assert_allclose(opened(told), seen.values, atol=2e-2 * seen.values.max())
    assert [name for name, _ in told["classes"]] == [name for name, _ in seen.classes]
    large = engine.maps(png(400), "digits", "relu2").result(TIMEOUT)  # read in a thread of its own
    assert large["shape"] == told["shape"]
    glimpses = engine.strip(png(), "digits").result(TIMEOUT)
    assert [one["layer"] for one in glimpses] == [one.layer for one in strip(network, picture())]


def test_a_backward_view_is_that_of_the_method(engine: Engine) -> None:
    told = engine.project(png(), "digits", "relu2", 3, "guided").result(TIMEOUT)
    found = attribute(load("digits"), picture(), Unit("relu2", 3), "guided")
    assert told["score"] == pytest.approx(found.score, rel=1e-4)
    heat = np.asarray(Image.open(io.BytesIO(told["panes"]["heat"]))).astype(int)
    assert np.abs(heat - panes(found.picture, found.values)[1]).max() <= 2
    rows = engine.methods("digits").result(TIMEOUT)
    assert [row["name"] for row in rows] == list(METHODS)


def test_a_run_goes_on_while_a_long_view_is_made_and_it_can_be_given_up(engine: Engine) -> None:
    run = engine.begin(tiny()).result(TIMEOUT)
    engine.watch(run, "test")
    in_state(engine, run, "running")
    job = engine.project(png(), "digits", "relu2", 3, "ig")
    until(lambda: job.progress[0] > 2 or job.done(), "for turns of the view")
    if job.cancel():
        with pytest.raises(CancelledError):
            job.result(TIMEOUT)
    step = engine.states[run].step
    until(lambda: engine.states[run].step > step, "for a step")
    assert engine.project(png(), "digits", "relu2", 3, "ig").result(TIMEOUT)["panes"]
    engine.stop(run).result(TIMEOUT)


def test_weights_come_in_blocks_and_filters_are_carried_back(engine: Engine) -> None:
    network = load("digits")
    first = engine.kernels("digits", "").result(TIMEOUT)
    whole = weights.kernels(network, "conv1")
    assert (first["layer"], first["pictures"], first["whole"]) == ("conv1", True, list(whole.shape))
    np.testing.assert_allclose(opened(first), whole, atol=1e-3 * first["top"])
    assert first["top"] == pytest.approx(np.abs(whole).max())
    assert [tuple(pair[:2]) for pair in first["alike"]] == [pair[:2] for pair in weights.alike(whole)]
    whole = weights.kernels(network, "conv2")
    block = engine.kernels("digits", "conv2", first=5, skip=3).result(TIMEOUT)
    assert (block["pictures"], block["first"], block["skip"]) == (False, 5, 3)
    np.testing.assert_allclose(opened(block), whole[5:69, 3:67], atol=1e-3 * block["top"])
    assert block["norms"][0] == pytest.approx(np.linalg.norm(whole[5]), rel=1e-5)
    far = engine.kernels("digits", "conv2", first=10**6, skip=10**6).result(TIMEOUT)
    assert opened(far).shape[:2] == (1, 1)
    for data, seen in ((b"", None), (png(), picture())):
        told = engine.carry("digits", "conv1", 2, data=data).result(TIMEOUT)
        wanted = weights.projection(network, "conv1", 2, seen)
        if seen is None:  # the pixels that the middle of the map sees are all that it has
            whole = network.module.conv1.weight[2].detach().numpy()
            np.testing.assert_allclose(np.abs(wanted).sum(), np.abs(whole).sum(), rtol=1e-4)
            wanted = whole
        np.testing.assert_allclose(opened(told)[0], wanted, atol=1e-3 * told["top"])
    with pytest.raises(LayerError):
        engine.kernels("digits", "relu2").result(TIMEOUT)
    with pytest.raises(LayerError):
        engine.carry("digits", "conv1", 999).result(TIMEOUT)


def test_a_column_is_that_of_the_comparison(engine: Engine) -> None:
    network = load("digits")
    for depth in compare.DEPTHS:
        (wanted,) = compare.side_by_side([network], picture(), "deconv", depth)
        told = engine.column(png(), "digits", "deconv", depth).result(TIMEOUT)
        assert (told["layer"], told["channel"]) == (wanted.unit.layer, wanted.unit.channel)
        assert told["score"] == pytest.approx(wanted.attribution.score, rel=1e-4)
        assert len(told["classes"]) == (5 if depth == "class" else 0)
    assert told["unit"] == network.card.classes[told["channel"]]
    (wanted,) = compare.side_by_side([network], picture(), "activations", "middle")
    told = engine.column(png(), "digits", "activations", "middle").result(TIMEOUT)
    order = wanted.maps.order()[:16]
    assert told["order"] == order.tolist()
    np.testing.assert_allclose(opened(told), wanted.maps.values[order], atol=1e-3 * told["scale"])
    with pytest.raises(SpecError):
        engine.column(png(), "digits", "deconv", "deepest").result(TIMEOUT)


def test_the_sanity_check_tells_how_far_it_is_and_takes_neurons(engine: Engine) -> None:
    network, unit = load("digits"), Unit("relu2", 3, 2, 1)
    job = engine.check(png(), "digits", "relu2", 3, "guided", place=(2, 1))
    told = job.result(TIMEOUT)
    wanted = list(cascade(network, picture(), unit, "guided"))
    assert [point["layer"] for point in told["points"]] == [point.layer for point in wanted]
    assert [point["absolute"] for point in told["points"]] == pytest.approx([one.absolute for one in wanted], abs=1e-2)
    whole = engine.project(png(), "digits", "relu2", 3, "guided").result(TIMEOUT)
    place = engine.project(png(), "digits", "relu2", 3, "guided", place=(2, 1)).result(TIMEOUT)
    assert place["score"] == pytest.approx(attribute(network, picture(), unit, "guided").score, rel=1e-4, abs=1e-6)
    assert place["score"] <= whole["score"]


def test_what_cannot_be_is_refused(engine: Engine) -> None:
    with pytest.raises(PictureError):
        engine.maps(b"nothing", "digits", "relu2").result(TIMEOUT)
    with pytest.raises(PictureError):
        engine.maps(png(400)[:150_000], "digits", "relu2").result(TIMEOUT)
    with pytest.raises(LayerError):
        engine.maps(png(), "digits", "relu9").result(TIMEOUT)
    with pytest.raises(LayerError):
        engine.project(png(), "digits", "relu2", 999, "deconv").result(TIMEOUT)
    assert engine.maps(png(), "digits", "relu2").result(TIMEOUT)["peaks"]


def test_large_maps_keep_their_extremes() -> None:
    values = np.zeros((2, 200, 150), np.float32)
    values[0, 17, 140], values[1, 199, 0] = 7.0, -9.0
    told = packed(values)
    small = opened(told)
    assert max(small.shape[1:]) <= 96
    assert (small.max(), small.min()) == (pytest.approx(7.0, rel=1e-3), -9.0)
    pool = told["pool"]
    assert small[0, 17 // pool, 140 // pool] == small.max()
    assert small[1, 199 // pool, 0] == small.min()
    huge = packed(np.full((1, 2, 2), 1e30, np.float32))
    np.testing.assert_allclose(opened(huge), 1e30)


def test_turns_alternate_and_end() -> None:
    said: list[str] = []

    def work(pause):  # type: ignore[no-untyped-def]
        for i in range(3):
            said.append(f"work {i}")
            pause()
        return 42

    turns = in_turns(work)
    with pytest.raises(StopIteration) as end:  # noqa: PT012
        while True:
            next(turns)
            said.append("other")
    assert end.value.value == 42
    assert said == ["work 0", "other", "work 1", "other", "work 2", "other"]
    given_up = in_turns(work)
    next(given_up)
    given_up.close()
    assert said[-1] == "work 0"

    def wrong(pause):  # type: ignore[no-untyped-def]
        raise LayerError("no")

    with pytest.raises(LayerError):
        next(in_turns(wrong))


def test_a_report_is_that_of_the_command(engine: Engine) -> None:
    told = engine.inspect("letters").result(TIMEOUT)
    found = report.inspect(load("letters"))
    assert told["findings"] == [finding.to_dict() for finding in found.findings]
    assert (told["layers"], told["filters"], told["pictures"]) == (2, 5, report.PICTURES)
    assert told["channels"].keys() == {finding.layer for finding in found.findings}
