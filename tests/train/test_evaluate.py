"""Evaluation, ensembles, and the report on filters."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.conftest import Run
from tests.train import samples
from vizcore.cli import main
from vizcore.errors import ModelError
from vizcore.look import report
from vizcore.train import charts, evaluate
from vizcore.train.data.parts import Part
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network, load


def network(weight: list[list[float]], std: float = 1 / 255) -> Network:
    """Logits are a product with the two pixels of a picture [1, 1, 2]."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(2, len(weight), bias=False))
    module[1].weight.data = torch.tensor(weight, dtype=torch.float32)
    card = Card("n", "n", "n", {}, 1, 2, (0.0,), (std,), tuple("abc"[: len(weight)]))
    return Network(card, module)


def named(net: Network, classes: Sequence[str], size: int = 2) -> Network:
    """The same network with another card."""
    return Network(dataclasses.replace(net.card, classes=tuple(classes), size=size), net.module)


def test_a_report_is_what_counting_by_hand_gives() -> None:
    part = Part(
        torch.tensor([[3, 1], [3, 1], [1, 2], [5, 0]], dtype=torch.uint8).view(4, 1, 1, 2), torch.tensor([0, 1, 1, 1])
    )
    found = evaluate.evaluate([network([[1, 0], [0, 1]])], part)
    assert (found.accuracy, found.members) == (0.5, (0.5,))
    assert found.confusion.tolist() == [[1, 0], [2, 1]]
    assert [item.row for item in found.mistakes] == [3, 1]  # the surer first
    assert found.mistakes[1].probability == pytest.approx(1 / (1 + np.exp(-2)))
    assert found.pairs() == [(1, 0, 2)]
    losses = [np.log1p(np.exp(-2)), np.log1p(np.exp(2)), np.log1p(np.exp(-1)), np.log1p(np.exp(5))]
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-4)


def test_an_ensemble_is_the_mean_of_probabilities() -> None:
    part = Part(torch.tensor([[4, 1], [1, 3]], dtype=torch.uint8).view(2, 1, 1, 2), torch.tensor([0, 1]))
    right, wrong = network([[1, 0], [0, 1]]), network([[0, 0.5], [0.5, 0]])
    found = evaluate.evaluate([right, wrong], part)
    assert (found.accuracy, found.members) == (1.0, (1.0, 0.0))
    swapped = named(network([[0, 1], [1, 0]]), "ba")  # the same as right, with its classes the other way round
    assert evaluate.evaluate([right, swapped], part).members == (1.0, 1.0)
    assert evaluate.under_attack(swapped, evaluate.as_taken(swapped, [right, swapped], part), 1e-6, 1, 1.0) == 1
    assert evaluate.evaluate([right, named(swapped, ("class 0", "class 1"))], part).members == (1.0, 0.0)
    with pytest.raises(ModelError, match="different classes"):
        evaluate.evaluate([right, named(right, "ax")], part)
    with pytest.raises(ModelError, match="names 3 classes, and the network gives 2 numbers"):
        evaluate.evaluate([named(right, "abc")], part)
    with pytest.raises(ModelError, match="different classes"):
        evaluate.evaluate([right, network([[1, 0], [0, 1], [0, 0]])], part)


def test_each_of_an_ensemble_gets_pictures_of_its_size() -> None:
    pooled = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    pooled[2].weight.data, pooled[2].bias.data = torch.tensor([[-1.0], [1.0]]), torch.tensor([150.0, -150.0])
    card = Card("n", "n", "n", {}, 1, 8, (0.0,), (1 / 255,), ("dark", "bright"))
    sharp = Network(card, pooled)
    images = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    images[0, 0, 3, 3] = 255  # is seen at 8 px, and is no more than 64 of 255 at 4 px
    part = Part(images, torch.tensor([1]))
    assert evaluate.evaluate([sharp, named(sharp, card.classes, 4)], part).members == (1.0, 0.0)
    assert evaluate.evaluate([named(sharp, card.classes, 4)], part).members == (1.0,)  # alone, as it is given


def test_an_attack_lowers_accuracy_and_keeps_to_its_ball() -> None:
    part = Part(torch.tensor([[100, 90], [90, 200]], dtype=torch.uint8).view(2, 1, 1, 2), torch.tensor([0, 1]))
    net = network([[1, 0], [0, 1]], 1.0)
    assert evaluate.under_attack(net, part, 0.01, 10, 0.3) == 1
    assert evaluate.under_attack(net, part, 0.1, 10, 0.3) == 0.5  # 10 and 110 steps of 1/255 lie between the classes
    assert evaluate.under_attack(net, part, 0.5, 10, 0.3) == 0


def test_the_command_draws_and_counts(run: Run, tmp_path: Path) -> None:
    folder = samples.tree(tmp_path / "stripes", classes=2, count=8)
    small = ("--filters", "4,8", "--epochs", "2", "--batch-size", "4", "--precision", "fp32", "--lr", "0.02")
    for seed in (0, 1):
        run("train", folder, "--out", tmp_path / f"n{seed}", "--seed", seed, *small)
    found = run("evaluate", tmp_path / "n0", tmp_path / "n1", "--dataset", folder, "--out", tmp_path / "e")
    assert found["pictures"] == 16
    assert np.sum(found["confusion"]) == 16
    assert found["accuracy"] == pytest.approx(np.trace(found["confusion"]) / 16)
    assert len(found["members"]) == 2
    assert {Path(file).name for file in found["files"]} >= {"confusion.png", "loss.png", "accuracy.png"}
    assert all(min(Image.open(file).size) > 60 for file in found["files"])
    assert len(found["curves"][str(tmp_path / "n0")]) == 2
    assert json.loads(Path(found["report"]).read_text())["accuracy"] == found["accuracy"]
    robust = run("evaluate", tmp_path / "n0", "--dataset", folder, "--out", tmp_path / "e", "--robust", "l2:5")
    assert robust["robust_accuracy"][0] <= robust["members"][0]
    assert "no part" in run("evaluate", tmp_path / "n0", "--dataset", folder, "--out", tmp_path / "e", "--part", "x",
                            code=2)["error"]["message"]  # fmt: skip
    assert "no part validate" in run("evaluate", tmp_path / "n0", "--dataset", folder, "--out", tmp_path / "e",
                                     "--part", "validate", code=2)["error"]["message"]  # fmt: skip
    assert "classes" in run("evaluate", tmp_path / "n0", "--dataset", samples.tree(tmp_path / "three", classes=3),
                            "--out", tmp_path / "e", code=2)["error"]["message"]  # fmt: skip


def test_classes_are_told_by_their_names(run: Run, tmp_path: Path) -> None:
    folder = samples.tree(tmp_path / "stripes", classes=2, count=8)
    run("train", folder, "--out", tmp_path / "n", "--filters", "4,8", "--epochs", "8", "--batch-size", "4")
    command = ("evaluate", tmp_path / "n", "--out", tmp_path / "e", "--dataset", folder)
    assert run(*command)["accuracy"] == 1
    (folder / "test" / "a").rename(folder / "test" / "c")
    assert "no 'c' among the network's classes" in run(*command, code=2)["error"]["message"]
    assert run("inspect", tmp_path / "n", "--dataset", folder)["pictures"] == 16  # of which it needs no labels
    (folder / "test" / "b").rename(folder / "test" / "a")
    (folder / "test" / "c").rename(folder / "test" / "B")  # the other way round
    shutil.rmtree(folder / "train")
    found = run(*command)
    assert (found["accuracy"], found["classes"]) == (0, ["a", "b"])


def test_charts_show_what_they_are_given() -> None:
    picture = charts.confusion(np.array([[8, 0], [2, 6]]), ["cat", "dog"])
    assert picture[96 + 17, 96 + 4].sum() > picture[96 + 17 + 34, 96 + 4].sum() > picture[96 + 17, 96 + 38].sum()
    assert charts.confusion(np.eye(100, dtype=np.int64), ["x"] * 100).shape[0] < 2000
    rising = charts.curves({"a": [0.0, 1.0]}, "loss")
    line = np.argwhere((rising == charts.COLOURS[0]).all(2)[48:-30])
    assert line[line[:, 1].argmin(), 0] > line[line[:, 1].argmax(), 0]
    assert charts.curves({"a": [None, None]}, "loss").shape == rising.shape
    assert charts.mistakes(np.zeros((2, 1, 8, 8), np.uint8), ["a", "b"]).ndim == 3


def filters(weight: torch.Tensor, stride: int = 1, size: int = 32) -> Network:
    """One convolution with these kernels and a ReLU."""
    count, channels, side, _ = weight.shape
    conv = nn.Conv2d(channels, count, side, stride, bias=False)
    conv.weight.data = weight
    module = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(count, 3))
    torch.manual_seed(0)
    module[4].reset_parameters()
    card = Card("f", "f", "f", {}, channels, size, (0.5,) * channels, (0.25,) * channels, tuple("abc"))
    return Network(card, module)


def waves(frequencies: list[float], side: int = 8) -> torch.Tensor:
    """Kernels of plane waves, cycles per pixel."""
    x = torch.arange(side) - (side - 1) / 2
    window = torch.hann_window(side, periodic=False).clamp_min(0.05)
    rows = [torch.cos(2 * torch.pi * f * x) * window for f in frequencies]
    return torch.stack([(row[None, :] * window[:, None]) for row in rows])[:, None]


def kinds(found: report.Report) -> dict[str, report.Finding]:
    return {finding.kind: finding for finding in found.findings}


def test_each_finding_names_its_filters() -> None:
    weight = waves([0.0, 0.15, 0.3, 0.45])
    weight = torch.cat([weight, weight[1:2] * -3, torch.zeros(1, 1, 8, 8)])
    found = kinds(report.inspect(filters(weight)))
    assert found["near-duplicates"].pairs == ((1, 4),)
    assert found["near-duplicates"].values[0] == pytest.approx(-1)
    assert found["dead filters"].filters == (5,)
    assert "aliasing" not in found


def test_aliasing_is_energy_above_what_the_stride_carries() -> None:
    found = kinds(report.inspect(filters(waves([0.0, 0.05, 0.3, 0.45]), stride=4)))
    assert found["aliasing"].filters == (2, 3)
    assert "0.125 cycles" in found["aliasing"].text
    assert "aliasing" not in kinds(report.inspect(filters(waves([0.0, 0.05, 0.3, 0.45]), stride=1)))


def test_coverage_of_the_spectrum() -> None:
    found = kinds(report.inspect(filters(waves([0.02, 0.04, 0.4, 0.45]))))
    assert "middle" in found["spectral coverage"].text
    assert "spectral coverage" not in kinds(report.inspect(filters(waves([0.02, 0.18, 0.4, 0.45]))))


def test_dead_filters_depend_on_the_pictures() -> None:
    net = filters(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4).clone())
    white = torch.full((4, 1, 32, 32), 255, dtype=torch.uint8)
    assert [f.filters for f in report.inspect(net, white).findings if f.kind == "dead filters"] == [(1,)]
    assert [f.filters for f in report.inspect(net, 255 - white).findings if f.kind == "dead filters"] == [(0,)]
    assert not [f for f in report.inspect(net).findings if f.kind == "dead filters"]


def test_receptive_fields_against_the_input() -> None:
    found = kinds(report.inspect(filters(waves([0.0, 0.2, 0.3]), size=64)))
    assert "8 of 64 px" in found["receptive field"].text
    assert "receptive field" not in kinds(report.inspect(filters(waves([0.0, 0.2, 0.3]), size=12)))


def test_noise_falls_with_frequency_as_photographs_do() -> None:
    values = report.noise(load("imagenette-robust"), 16).double().numpy()
    power = (np.abs(np.fft.fft2(values)) ** 2).mean((0, 1))[0]
    slope = np.polyfit(np.log(np.arange(2, 16)), np.log(power[2:16]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.5)


def test_a_report_rests_between_its_pieces() -> None:
    rests: list[int] = []
    net = filters(waves([0.0, 0.2, 0.3]), size=128)
    report.inspect(net, torch.zeros(20, 1, 128, 128, dtype=torch.uint8), lambda: rests.append(1))
    assert len(rests) == 3 + 2  # batches of 8, then two layers with weights


def test_the_command_lists_findings(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = run("inspect", "imagenette-robust")
    assert (found["layers"], found["made_up"]) == (10, True)
    assert all(item["kind"] in report.KINDS for item in found["findings"])
    letters = run("inspect", "letters", "--dataset", "efl")
    assert (letters["pictures"], letters["filters"]) == (1000, 5)
    assert main(["inspect", "letters"]) == 0
    assert "findings in 2 layers with 5 filters" in capsys.readouterr().out
    assert "no network" in run("inspect", "nothing", code=2)["error"]["message"]
