"""The ascent on a GPU: what a CPU finds, without waiting for the device at every step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import network, tiny_spec
from vizcore.ascent import RESCUE, Ascent, Frame, ahead, ascend
from vizcore.cli import main
from vizcore.spec import RunSpec, build
from vizcore.zoo.load import load

pytestmark = pytest.mark.gpu
DEVICE = "cuda"


def frames_of(spec: RunSpec, device: str) -> list[Frame]:
    return list(ascend(spec, network(), device=device))


@pytest.mark.parametrize("preset", ["Crisp", "Classic", "Vivid", "Paper 4"])
@pytest.mark.parametrize("parameterization", ["fourier", "pixel", "maco", "cppn"])
def test_a_gpu_finds_what_a_cpu_finds(preset: str, parameterization: str) -> None:
    spec = tiny_spec(preset=preset, parameterization=parameterization, precision="fp32", steps=6)
    for here, there in zip(frames_of(spec, "cpu"), frames_of(spec, DEVICE), strict=True):
        np.testing.assert_allclose(there.scores, here.scores, rtol=0.02, atol=1e-3)  # TF32 has 10 bits
        assert there.status == here.status
        assert np.abs(there.images.astype(int) - here.images).mean() < 2  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("objective", ["channel", "neuron(2, 4)", "layer", "class", "direction"])
@pytest.mark.parametrize("knobs", [{}, {"tv": 0.01, "l1": 0.01, "decay": 0.01, "blur": 0.5, "blur_every": 1}])
def test_a_step_does_not_wait_for_the_device(objective: str, knobs: dict[str, float]) -> None:
    """After those in which units that are off are looked for, which has to be known to go on."""
    spec = tiny_spec(objective=objective, steps=RESCUE + 8, start=0.05, **knobs)
    run: Ascent = ascend(spec, network(), device=DEVICE)
    for _ in range(RESCUE + 2):
        next(run)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")  # type: ignore[no-untyped-call]
    try:
        coming = [run.launch() for _ in range(4)]
    finally:
        torch.cuda.set_sync_debug_mode("default")  # type: ignore[no-untyped-call]
    assert [one().step for one in coming if one is not None] == [RESCUE + k for k in range(2, 6)]


def test_frames_are_given_one_step_late() -> None:
    spec = tiny_spec(steps=20, precision="fp32")
    late = list(ahead(ascend(spec, network(), device=DEVICE)))
    assert [frame.step for frame in late] == list(range(21))
    for one, other in zip(late, frames_of(spec, DEVICE), strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-2, atol=1e-3)


def test_a_run_goes_on_from_a_checkpoint() -> None:
    spec = tiny_spec(steps=20, precision="fp32")
    run = ascend(spec, network(), device=DEVICE)
    for _ in range(10):
        next(run)
    other = ascend(spec, network(), device=DEVICE, state=run.checkpoint())
    for one, two in zip(run, other, strict=True):
        assert one.step == two.step
        np.testing.assert_allclose(two.scores, one.scores, rtol=1e-2, atol=1e-3)


def test_rows_that_do_not_fit_at_once_are_halved() -> None:
    net = load("imagenette-robust")
    spec = build("imagenette-robust", "block2", "0-63", size=224, steps=2)
    run = ascend(spec, net, device=DEVICE)
    next(run)
    used = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    next(run)
    need = torch.cuda.max_memory_allocated() - used
    torch.cuda.empty_cache()
    _, whole = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((used + 0.6 * need) / whole)
    try:
        frame = next(run)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert run.width < 64
    assert np.isfinite(frame.scores).all()


def test_bf16_reaches_what_fp32_reaches() -> None:
    net = load("imagenette-robust")
    ends = []
    for precision in ("bf16", "fp32"):
        spec = build("imagenette-robust", "block2", "0-15", size=128, steps=64, precision=precision)
        *_, last = ascend(spec, net, device=DEVICE, keep=lambda step: False)
        ends.append(last.scores)
    assert np.median(ends[0] / ends[1]) >= 0.95


def test_render_says_where_it_computed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["render", "digits", "conv2", "--channels", "0-3", "--steps", "20", "--out", str(tmp_path)]
    assert main([*command, "--device", DEVICE, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["device"] == DEVICE
    assert all(one["end"] > one["start"] for one in said["filters"])
