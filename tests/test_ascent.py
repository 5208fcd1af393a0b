"""The loop: scores rise, rows are independent, equal specs give equal bytes, and what is wrong with a row is said."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.vision_transformer import VisionTransformer

from tests.tiny import network, tiny_spec
from vizcore.arithmetic import choose_precision
from vizcore.ascent import RESCUE, Frame, ahead, ascend, score
from vizcore.errors import LayerError, SpecError, VizcoreError
from vizcore.layers import Cut
from vizcore.spec import PRESETS, Knobs, RunSpec
from vizcore.zoo.load import Network

CPU = torch.device("cpu")
NO_MOVES = {"jitter": 0, "scale": 0, "rotate": 0, "pad": 0}


def run(spec: RunSpec, **options: object) -> list[Frame]:
    return list(ascend(spec, network(), **options))  # type: ignore[arg-type]


def pictures(frame: Frame) -> torch.Tensor:
    assert frame.images is not None
    return torch.from_numpy(frame.images).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("preset", ["Crisp", "Classic", "Raw"])  # the paper's are in test_paper
def test_presets_raise_the_plain_score(preset: str) -> None:
    spec = tiny_spec(preset=preset, steps=12, pad=0, jitter=0)  # 4 px are much of 16, in a network of stride 2
    frames = run(spec)
    assert [frame.step for frame in frames] == list(range(13))
    before, after = (score(spec, network(), pictures(frames[k])) for k in (0, -1))
    assert (after > before).all()


@pytest.mark.parametrize("parameterization", ["fourier", "pixel"])
@pytest.mark.parametrize(
    "objective",
    ["channel", "-channel", "neuron", "neuron(2, 4)", "layer", "-layer", "class", "class(a cat)", "direction",
     "channel + 2*channel(3)", "channel - 0.5*layer(conv1)"],
)  # fmt: skip
def test_every_objective_rises_within_five_steps(objective: str, parameterization: str) -> None:
    spec = tiny_spec(
        objective=objective, parameterization=parameterization, policy="constant", **NO_MOVES, tv=0, start=0.05
    )
    frames = run(spec)
    assert (frames[-1].scores > frames[0].scores).all()


def test_a_network_that_takes_one_size_gets_that_size() -> None:
    """A vision transformer refuses a framed picture, so there is no frame."""
    torch.manual_seed(0)
    module = VisionTransformer(image_size=32, patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    facts = {"fixed_size": True}
    one = Network(dataclasses.replace(network().card, size=32, classes=(), facts=facts), module.eval())
    spec = tiny_spec(layer="conv_proj", channels=(1, 2), size=32, steps=8, pad=4)
    frames = list(ascend(spec, one))
    assert (score(spec, one, pictures(frames[-1])) > score(spec, one, pictures(frames[0]))).all()
    with pytest.raises(SpecError, match="32 px only"):
        ascend(spec.replace(size=48), one)


def test_scores_of_unmoved_pictures_are_plain_scores() -> None:
    spec = tiny_spec(**NO_MOVES)
    for frame in run(spec):
        np.testing.assert_allclose(
            score(spec, network(), pictures(frame)), frame.scores, atol=0.02
        )  # pictures are 8 bit


@settings(deadline=None, max_examples=6)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True),
    st.sampled_from(["Crisp", "Classic", "Paper 1", "Paper 4"]),
    st.sampled_from(["channel", "neuron(1, 2)", "direction", "channel + 2*channel(3)"]),
)
def test_a_row_of_a_batch_is_that_filter_alone(channels: list[int], preset: str, objective: str) -> None:
    values = {"objective": objective, "tv": 0.001, "blur": 0.5, "blur_every": 2}
    together = run(tiny_spec(channels=channels, preset=preset, **values))
    for row, channel in enumerate(channels):
        for one, many in zip(run(tiny_spec(channels=[channel], preset=preset, **values)), together, strict=True):
            np.testing.assert_allclose(one.scores[0], many.scores[row], rtol=1e-3, atol=1e-4)
            difference = np.abs(one.images[0].astype(int) - many.images[row])  # type: ignore[index]
            assert (difference <= 1).mean() > 0.99  # a pixel at the edge of a percentile may fall to the other side
            assert np.median(difference) == 0


def test_penalties_hold_back() -> None:
    free, held = (run(tiny_spec(**NO_MOVES, l1=l1))[-1] for l1 in (0.0, 1.0))
    assert (pictures(held) - 0.45).abs().mean() < (pictures(free) - 0.45).abs().mean()


def same(one: list[Frame], two: list[Frame]) -> bool:
    return len(one) == len(two) and all(
        a.step == b.step and a.status == b.status and a.scores.tobytes() == b.scores.tobytes()
        and a.gradient_norms.tobytes() == b.gradient_norms.tobytes() and np.array_equal(a.images, b.images)  # type: ignore[arg-type]
        for a, b in zip(one, two, strict=True)
    )  # fmt: skip


@pytest.mark.parametrize("preset", ["Crisp", "Paper 4"])
def test_equal_specs_give_equal_bytes(preset: str) -> None:
    spec = tiny_spec(preset=preset)
    threads = torch.get_num_threads()
    assert same(run(spec, exact=True), run(spec, exact=True))
    assert not same(run(spec, exact=True), run(spec.replace(seed=1), exact=True))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("preset", ["Crisp", "Paper 4"])
def test_steps_launched_ahead_of_their_frames_are_the_same_steps(preset: str) -> None:
    spec = tiny_spec(preset=preset, precision="fp32")
    ascent = ascend(spec, network(), exact=True)
    ascent._window(spec.pad)
    ascent.device = torch.device("cuda")  # in name only: its tensors stay where they are
    seen = []
    for frame in ahead(ascent):
        seen.append((frame, ascent.step - frame.step))
    frames = [frame for frame, _ in seen]
    assert same(frames, run(spec, exact=True))
    assert [lead for _, lead in seen[:-2]] == [2] * (len(seen) - 2)  # the next step has been launched


class Asked(TorchDispatchMode):
    """Notes every operation that needs a value from the device, for which a GPU would be waited for."""

    WAITS = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split("::")[1].split(".")[0]
        if name in self.WAITS:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("parameterization", "objective"),
    [("fourier", "channel"), ("pixel", "neuron(2, 4)"), ("maco", "layer"), ("cppn", "class"), ("fourier", "direction")],
)
@pytest.mark.parametrize(
    "knobs",
    [{"tv": 0.01, "l1": 0.01, "decay": 0.01, "blur": 0.5, "blur_every": 1, "noise": 0.1, "crops": 2},
     {"policy": "progress", "small_norm": 20.0, "small_benefit": 10.0}],
)  # fmt: skip
def test_a_step_asks_a_gpu_for_nothing(parameterization: str, objective: str, knobs: dict[str, Any]) -> None:
    """But for the first ones, in which units that are off are looked for, which has to be known to go on."""
    spec = tiny_spec(
        objective=objective, parameterization=parameterization, precision="fp32", steps=RESCUE + 4, start=0.05, **knobs
    )
    ascent = ascend(spec, network())
    for _ in range(RESCUE + 1):
        next(ascent)
    ascent.device = torch.device("cuda")  # in name only
    with Asked() as asked:
        ascent.launch()
    assert asked.found == []
    ascent.device = CPU  # where asking costs nothing
    with Asked() as asked:
        ascent.launch()
    assert asked.found


@pytest.mark.parametrize("preset", ["Crisp", "Classic", "Paper 4"])
def test_a_run_goes_on_from_any_checkpoint_bit_for_bit(preset: str) -> None:
    spec = tiny_spec(preset=preset)
    log = [(1, "rate", 0.05), (2, "jitter", 3), (2, "blur", 0.7), (4, "steps", 7), (5, "decay", 0.1)]
    whole = run(spec, knobs=Knobs(spec, log), exact=True)
    assert len(whole) == 8
    for stop in range(9):
        ascent = ascend(spec, network(), Knobs(spec, log), exact=True)
        first = list(itertools.islice(ascent, stop))
        state = ascent.checkpoint()
        rest = run(spec, knobs=Knobs(spec, log), exact=True, state=state)
        kept = first if stop < 8 else first[:-1]  # after the end, the last frame is given again
        assert same(kept + rest, whole)


def test_knobs_act_from_their_step_on_and_not_before() -> None:
    spec = tiny_spec(**NO_MOVES, policy="constant")
    ascent, plain = ascend(spec, network(), exact=True), run(spec, exact=True)
    frames = [next(ascent) for _ in range(3)]
    assert ascent.step == 3
    ascent.knobs.set(ascent.step, "rate", 0.5)
    frames += list(ascent)
    changed = [not np.array_equal(a.images, b.images) for a, b in zip(frames, plain, strict=True)]
    assert changed == [False, False, False, False, True, True]  # frame 3 is the picture before update 3
    assert same(run(spec, knobs=Knobs(spec, ascent.knobs.log), exact=True), frames)


def test_raising_steps_after_the_end_goes_on_as_if_it_had_been_so_from_there() -> None:
    spec = tiny_spec(steps=3)
    ascent = ascend(spec, network(), exact=True)
    frames = list(ascent)
    with pytest.raises(StopIteration):
        next(ascent)
    assert ascent.step == 3
    ascent.knobs.set(ascent.step, "steps", 6)
    frames += list(ascent)
    assert [frame.step for frame in frames] == list(range(7))
    assert same(run(spec, knobs=Knobs(spec, ascent.knobs.log), exact=True), frames)


def test_lowering_steps_ends_the_run() -> None:
    ascent = ascend(tiny_spec(steps=50), network())
    next(ascent), next(ascent)
    ascent.knobs.set(ascent.step, "steps", 1)
    assert [frame.step for frame in ascent] == [2]


def test_pictures_are_made_only_when_they_are_kept() -> None:
    frames = run(tiny_spec(), keep=lambda step: step % 2 == 0)
    assert [frame.images is not None for frame in frames] == [True, False, True, False, True, False]
    assert frames[0].images is not None
    assert (frames[0].images.shape, frames[0].images.dtype) == ((4, 16, 16, 3), np.uint8)
    assert all(frame.seconds > 0 and frame.scores.dtype == np.float32 for frame in frames)


def test_bytes_are_rounded() -> None:
    ascent = ascend(tiny_spec(preset="Raw"), network())
    exact = 255 * (ascent.checkpoint()["parameter"] + np.array(network().card.mean)[:, None, None])
    np.testing.assert_array_equal(next(ascent).images, np.rint(exact).transpose(0, 2, 3, 1))


def test_grey_pictures() -> None:
    for preset, values in PRESETS.items():
        if values.get("parameterization") == "generator":
            continue  # there is none for so small a network
        spec = tiny_spec(preset=preset)
        frames = list(ascend(spec, network(1)))
        assert frames[-1].images is not None
        assert frames[-1].images.shape == (4, 16, 16, 1)


@pytest.mark.parametrize("preset", ["Crisp", "Classic", "Paper 1", "Paper 4"])
def test_a_row_that_is_not_a_number_says_so_and_leaves_the_others_alone(preset: str) -> None:
    spec = tiny_spec(preset=preset, channels="0-2")
    healthy = run(spec, exact=True)
    state = ascend(spec, network(), exact=True).checkpoint()
    state["parameter"][1] = np.nan
    ascent = ascend(spec, network(), exact=True, state=state)
    for frame, other in zip(ascent, healthy, strict=True):
        assert frame.status == ("ok", "nan", "ok")
        np.testing.assert_array_equal(frame.images[[0, 2]], other.images[[0, 2]])  # type: ignore[index]


def test_a_row_whose_gradient_overflows_keeps_its_last_picture() -> None:
    frames = run(tiny_spec(preset="Raw", objective="3e38*channel + 3e38*channel"))
    assert {frame.status for frame in frames} == {("nan",) * 4}
    assert all(np.array_equal(frame.images, frames[0].images) for frame in frames)  # type: ignore[arg-type]


def off(layer: str, channel: int, bias: float) -> Network:
    """The tiny network with one channel of a layer held below zero by its bias."""
    net = network()
    module = net.module.get_submodule(layer)
    module.bias.data[channel] = bias
    return net


def test_a_unit_that_starts_off_is_given_a_chance() -> None:
    spec = tiny_spec("relu2", "0-3", steps=40, rate=0.3, policy="constant", size=32)
    frames = list(ascend(spec, off("conv2", 1, -1.5)))
    assert frames[0].status[1] == "zero gradient"
    assert frames[0].gradient_norms[1] == 0
    assert frames[-1].status[1] == "ok"
    assert frames[-1].scores[1] > 0
    plain = list(ascend(spec, network()))
    for frame, other in zip(frames, plain, strict=True):
        np.testing.assert_allclose(
            frame.scores[[0, 2, 3]], other.scores[[0, 2, 3]], rtol=1e-3
        )  # the others do not notice


def test_a_unit_that_never_starts_is_dead_after_16_steps() -> None:
    frames = list(ascend(tiny_spec("relu2", "0-3", steps=20), off("conv2", 2, -1e4)))
    assert [frame.status[2] for frame in frames] == ["zero gradient"] * 15 + ["dead"] * 6
    assert all(frame.status[0] == "ok" for frame in frames)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"channels": "3-6"}, LayerError, "0 to 5"),
        ({"layer": "conv3"}, LayerError, "conv2"),
        ({"objective": "class(7)"}, LayerError, "0 to 4"),
        ({"objective": "neuron(3, 7)"}, LayerError, "columns 0 to 6"),
        ({"objective": "chanel"}, SpecError, "Did you mean channel"),
    ],
)
def test_bad_specs_are_refused_at_once(changes: dict[str, object], error: type[VizcoreError], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        ascend(tiny_spec(**{"pad": 0, **changes}), network())  # type: ignore[arg-type]
    assert "\n" not in caught.value.message


def test_a_picture_that_is_too_small_for_the_layer_is_refused() -> None:
    net = network()
    net.module.conv2 = torch.nn.Conv2d(4, 6, 19)
    with pytest.raises(SpecError, match="16 px"):
        ascend(tiny_spec(pad=0), net)


def test_a_state_of_another_run_is_refused() -> None:
    state = ascend(tiny_spec(), network()).checkpoint()
    with pytest.raises(SpecError, match="another run"):
        ascend(tiny_spec(channels="0-2"), network(), state=state)
    with pytest.raises(SpecError, match="another run"):
        ascend(tiny_spec(), network(), state={})


def test_precision() -> None:
    assert choose_precision("auto", CPU, exact=True) == "fp32"
    assert choose_precision("bf16", CPU, exact=True) == "fp32"
    assert choose_precision("bf16", CPU, exact=False) == "bf16"
    assert ascend(tiny_spec(precision="fp32"), network()).precision == "fp32"
    half = [frame.scores for frame in run(tiny_spec(precision="bf16"))]
    full = [frame.scores for frame in run(tiny_spec(precision="fp32"))]
    np.testing.assert_allclose(half, full, atol=0.05)


def test_pictures_are_fp32_whatever_the_network_computes_in() -> None:
    spec = tiny_spec(start=1.0, steps=1)
    state = ascend(spec, network()).checkpoint()
    state["parameter"] *= 10  # black and white: bf16 rounds white to 256, which is 0 as a byte
    half, full = (run(spec.replace(precision=kind), state=state)[0].images for kind in ("bf16", "fp32"))
    assert full is not None
    assert (full == 255).any()
    np.testing.assert_array_equal(half, full)


def test_the_network_is_left_as_it_was() -> None:
    net = network()
    before = {name: value.clone() for name, value in net.module.state_dict().items()}
    list(ascend(tiny_spec(), net))
    assert all(torch.equal(value, before[name]) for name, value in net.module.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in net.module.parameters())
    assert not any(module._forward_hooks for module in net.module.modules())


def test_exact_runs_use_the_network_as_it_is() -> None:
    net = network()
    assert ascend(tiny_spec(), net, exact=True).cut.module is net.module
    assert ascend(tiny_spec(), net).cut.module is not net.module


class Tight:
    """A cut network for which memory is short above so many rows; notes how many it saw."""

    def __init__(self, cut: Cut, most: int) -> None:
        self.cut, self.most = cut, most
        self.seen: list[int] = []

    def __call__(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen.append(len(x))
        if len(x) > self.most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
        return self.cut(x)


@pytest.mark.parametrize("most", [3, 2, 1])
def test_short_memory_halves_the_rows_and_changes_nothing_else(most: int) -> None:
    spec = tiny_spec(channels=tuple(range(6)), steps=6, tv=0.1)
    wide, narrow = ascend(spec, network(), exact=True), ascend(spec, network(), exact=True)
    narrow.cut = Tight(narrow.cut, most)
    for one, two in zip(wide, narrow, strict=True):
        np.testing.assert_allclose(two.scores, one.scores, rtol=1e-4, atol=1e-6)
        assert np.abs(two.images.astype(int) - one.images).max() <= 1
        assert two.status == one.status
    tried = {3: [6, 3, 3], 2: [6, 3, 2, 2, 2], 1: [6, 3, 2] + [1] * 6}[most]
    assert narrow.cut.seen[: len(tried)] == tried
    assert wide.width == 6
    assert max(narrow.cut.seen[len(tried) :]) == narrow.width == most  # what did not fit is not tried again


def test_memory_that_stays_short_is_an_error() -> None:
    ascent = ascend(tiny_spec(channels=tuple(range(6)), steps=6), network())
    ascent.cut = Tight(ascent.cut, 0)
    with pytest.raises(RuntimeError, match="can't allocate"):
        next(ascent)
    assert ascent.cut.seen == [6, 3, 2, 1]
