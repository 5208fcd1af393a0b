"""The ruler in the engine's process, against the ruler in this one."""

from __future__ import annotations

import io
from concurrent.futures import CancelledError
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_helpers import TIMEOUT, until
from PIL import Image

from vizcore.engine import Comparison, Engine
from vizcore.engine.measuring import real_pictures, tiles
from vizcore.errors import GeneratorError, LayerError, PictureError, SpecError
from vizcore.generate.names import open_generator
from vizcore.ruler import Order, Ruler
from vizcore.zoo.load import load

METHODS = ("fourier", "ppgn")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of 40 px in two parts; those that may be learnt from are white."""
    rng = np.random.default_rng(3)
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        for number in range(6):
            pixels = rng.integers(0, 200, (40, 40, 3), np.uint8) if part == "test" else np.full((40, 40, 3), 255)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / part / f"{number}.png")
    return tmp_path


def test_lengths_and_tiles_are_those_of_the_ruler(engine: Engine, folder: Path) -> None:
    comparison = Comparison("digits", None, "", (3, 8), "digits-generator", source=str(folder), most=5, steps=4)
    network = load("digits")
    real, name = real_pictures(str(folder), network.card, 5)
    assert (name, tuple(real.shape), int(real.max()) < 201) == (folder.name, (5, 1, 28, 28), True)
    ruler = Ruler(network, Order("", (3, 8), METHODS, 2, 4), real, open_generator("digits-generator", network))
    for method, pictures, lengths in ruler.measure():
        told = engine.measure(comparison, method).result(TIMEOUT)
        assert (told["real"], told["pictures"], told["side"]) == (5, folder.name, 84)
        for found, wanted in zip(told["lengths"], map(asdict, lengths), strict=True):
            for key in ("activation", "held_out", "nearest", "spectrum"):
                assert found[key] == pytest.approx(wanted[key], rel=0.02), (method, key)
            assert found["transfer"] is None
        sheet = np.asarray(Image.open(io.BytesIO(told["tiles"])).convert("L")).astype(int)
        first = np.kron(pictures[0, :, :, 0], np.ones((3, 3)))
        assert np.abs(sheet[:84, :84] - first).mean() < 8  # WebP
    job = engine.measure(replace(comparison, steps=4000), "fourier")
    until(lambda: job.progress[0] > 4)
    assert job.progress[1] == 2 * 4000 + 2 + 1  # steps of two seeds, two units to measure, one batch of real pictures
    assert job.cancel()
    with pytest.raises(CancelledError):
        job.result(TIMEOUT)
    alone = engine.measure(replace(comparison, source="", generator=""), "fourier").result(TIMEOUT)
    assert (alone["real"], alone["lengths"][0]["nearest"], alone["lengths"][0]["spectrum"]) == (0, None, None)


def test_what_cannot_be_measured_is_refused(engine: Engine, tmp_path: Path) -> None:
    plain = Comparison("digits", None, "", (3,), steps=2)
    for wrong, method, error, words in (
        (plain, "best", SpecError, "no method"),
        (plain, "ppgn", SpecError, "need a generator"),
        (replace(plain, generator="/tmp/x"), "ppgn", GeneratorError, "named by its folder"),
        (replace(plain, units=(12,)), "pixel", LayerError, "no class 12"),
        (replace(plain, layer="relu2", units=(500,)), "pixel", LayerError, "no filter 500"),
        (replace(plain, judge="cifar10"), "pixel", SpecError, "other classes"),
        (replace(plain, source=str(tmp_path)), "pixel", PictureError, "no pictures"),
        (replace(plain, source=str(tmp_path / "none")), "pixel", PictureError, "none"),
    ):
        with pytest.raises(error, match=words):
            engine.measure(wrong, method).result(TIMEOUT)


def test_a_judge_looks_at_pictures_of_its_own_size() -> None:
    network = load("digits")
    ruler = Ruler(network, Order("", (3,), ("pixel",), 1, 2), None, other=network)
    *_, (_, _, (one,)) = ruler.measure()
    assert one.transfer is not None
    x = torch.zeros(1, 1, 20, 20)
    assert ruler._transfer(3, x)[0] == ruler._transfer(3, torch.zeros(1, 1, 28, 28))[0]


def test_tiles_are_side_by_side() -> None:
    pictures = np.zeros((3, 2, 10, 10, 3), np.uint8)
    pictures[2, 1] = (255, 0, 0)
    data, side = tiles(pictures)
    sheet = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert (side, sheet.shape) == (90, (182, 274, 4))
    assert sheet[92 + 45, 2 * 92 + 45, 0] > 240
    assert sheet[45, 45, 0] < 15
    assert sheet[45, 91, 3] == 0  # between them
