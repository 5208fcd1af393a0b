"""The comparison with other tools: its measures against closed forms, its tables against rows made by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.peers import judge, plot, tables
from benchmarks.peers.cases import Case
from benchmarks.peers.speed import Timing

ROOT = Path(__file__).parents[1]
MACHINE = {"processor": "A", "cores": 2, "amx": False, "avx512_bf16": True, "gpu": None}


def test_variation_of_stripes_is_their_contrast() -> None:
    stripes = torch.zeros(2, 3, 8, 8)
    stripes[1, :, :, ::2] = 0.5  # every step to the right is 0.5, every step down 0
    np.testing.assert_allclose(judge.variation(stripes), [0, 0.25])


def test_a_wave_lies_in_its_octave() -> None:
    turns = torch.arange(64) / 64
    for octave, cycles in enumerate((1, 3, 6, 12, 24)):
        wave = (0.5 + 0.4 * torch.sin(2 * torch.pi * cycles * turns)).expand(1, 3, 64, 64)
        assert judge.spectrum(wave)[0].argmax() == octave


def test_spectrum_distance_is_the_factor_in_decades() -> None:
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    natural = judge.spectrum(noise)
    half = 0.5 + (noise - 0.5) / 10  # a tenth of the contrast is a hundredth of the power
    np.testing.assert_allclose(judge.distance(noise, natural), 0, atol=1e-5)
    np.testing.assert_allclose(judge.distance(half, natural), 2, atol=1e-3)


def test_pictures_are_enlarged_from_corner_to_corner() -> None:
    picture = np.zeros((1, 2, 2, 3), np.uint8)
    picture[0, :, 1] = 255
    np.testing.assert_allclose(judge.enlarged(picture, 5)[0, 0, 0], [0, 0.25, 0.5, 0.75, 1])


def test_speed_is_told_by_round() -> None:
    timings = [Timing("vizcore", [4.0, 6.0, 8.0], "bf16", 10), Timing("a", [2.0, 2.0, 2.0]), Timing("b", error="no")]
    ours, theirs, failed = tables.speed_rows(timings, 16)
    assert (ours["steps_per_second"], ours["image_steps_per_second"], ours["ratio"]) == (6, 96, 1)
    assert (theirs["ratio"], theirs["ratio_low"], theirs["ratio_high"]) == (3, 2, 4)
    text = tables.speed_table("x", {"date": "d", "machine": MACHINE, "rows": [ours, theirs, failed]})
    assert "| a | 2 ± 0 | 32 | 3.00 (2.00 to 4.00) | 0 MB |" in text
    assert "AVX512-BF16" in text
    assert "| b | did not run: no |" in text
    assert plot.bars([ours, theirs, failed]) == {"vizcore": 96, "a": 32}


def test_the_overview_has_a_line_for_each_case_in_the_order_of_networks() -> None:
    rows = tables.speed_rows([Timing("vizcore", [4.0, 6.0]), Timing("torch-lucent", [2.0, 2.0], memory=7)], 1)
    failed = tables.speed_rows([Timing("vizcore", [1.0, 1.0]), Timing("torch-dreams", error="no")], 1)
    entry = {"date": "2026-11-22", "machine": MACHINE}
    text = tables.overview({
        "VGG-16 features.8, 1 × 128 px": {**entry, "rows": failed},
        "SqueezeNet 1.0 features.3, 1 × 128 px": {**entry, "rows": rows},
    }).splitlines()  # fmt: skip
    assert text[4] == "| SqueezeNet 1.0 features.3, 1 × 128 px | 5 |  |  | 2.5 |  |  | 0 MB | 7 MB |"
    assert text[5] == "| VGG-16 features.8, 1 × 128 px | 1 |  |  |  | fails |  | 0 MB |  |"
    assert text[2].count("|") == text[3].count("|") == text[4].count("|")


@pytest.mark.parametrize(("ratio", "met"), [(25.0, "yes"), (15.0, "**no**")])
def test_a_missed_target_is_written_as_missed(ratio: float, met: str) -> None:
    known = {"score": {"x": {"rows": [{"what": "Vivid", "ratio": ratio}]}}}
    assert tables.targets_table(known).endswith(f"| {ratio:g} × | ≥ 20 × | {met} |")


def test_a_tool_that_fails_says_why_and_lives_on() -> None:
    case = Case("squeezenet1_0", "features.7", (0,), 64, "nowhere.safetensors").to_dict()
    orders = [{"do": "setup", "case": case, "options": {}}, {"do": "memory"}]
    answers = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.worker", "plain PyTorch"], cwd=ROOT, check=True, text=True,
        input="".join(json.dumps(order) + "\n" for order in orders), stdout=subprocess.PIPE,
    ).stdout.splitlines()  # fmt: skip
    failed, memory = map(json.loads, answers)
    assert "nowhere.safetensors" in failed["error"]
    assert memory["peak"] >= memory["before"] > 0


def test_targets_are_for_the_layers_that_have_some() -> None:
    kept = ["ResNet-50 layer2.3, 1 × 224 px", "SqueezeNet 1.0 features.7, 16 × 224 px"]
    others = ["ResNet-50 layer2.3, 1 × 128 px", "ResNet-50 layer1.2, 1 × 224 px", "VGG-16 features.15, 16 × 224 px"]
    assert list(tables.targeted(dict.fromkeys([*others, *kept]))) == kept
