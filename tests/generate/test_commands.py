"""The commands: what they write, and one sentence for every bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Run
from vizcore.generate import files


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    """A picture that has a code."""
    picture = np.zeros((28, 28), np.uint8)
    picture[5:23, 13:16] = 255
    path = tmp_path / "one.png"
    Image.fromarray(picture).save(path)
    return path


def test_chains_reach_their_classes_and_are_written(tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    data = run("generate", "digits", "--generator", "digits-generator", "--classes", "3,8", "--chains", "2",
               "--above", "0.5", "--steps", "60", "--variant", "dgn-am",
               "--transfer", "digits", "--out", str(out))  # fmt: skip
    assert [one["target"] for one in data["targets"]] == [3, 8]
    assert all(one["kept"] == one["transferred"] == 2 and one["diversity"] > 0 for one in data["targets"])
    assert data["variant"] == "DGN-AM"
    assert json.loads((out / "generate.json").read_text())["samples"] == data["samples"]
    assert Image.open(out / "sheet.png").width > 4 * 96
    with Image.open(out / data["samples"][0]["file"]) as picture:
        assert picture.size == (28, 28)
        assert json.loads(picture.info["vizcore-look"])["walk"]["steps"] == 60


def test_units_and_every_variant_run(tmp_path: Path, run: Run) -> None:
    for variant in ("dgn-am", "ppgn-x", "ppgn-h", "joint", "ppgn"):
        data = run("generate", "digits", "--generator", "digits-generator", "--unit", "relu2:3@4,5", "--steps", "3",
                   "--variant", variant, "--out", str(tmp_path / variant))  # fmt: skip
        assert data["targets"][0]["name"] == "relu2"
        assert data["notes"] == []


def test_a_masked_picture_is_painted_where_it_is_black(tmp_path: Path, run: Run, digit: Path) -> None:
    mask = np.zeros((28, 28), np.uint8)
    mask[:14] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    data = run("generate", "digits", "--generator", "digits-generator", "--classes", "1", "--picture", str(digit),
               "--mask", str(tmp_path / "mask.png"), "--steps", "30", "--out", str(tmp_path / "out"))  # fmt: skip
    assert data["walk"]["eps4"] == 1


@pytest.mark.parametrize(("options", "words"), [
    (["--generator", "nothing"], "no generator"),
    (["--classes", "12"], "no class 12"),
    (["--classes", "1", "--unit", "relu2:1"], "both given"),
    (["--unit", "relu2"], "no unit"),
    (["--unit", "relu2:99"], "no filter 99"),
    (["--variant", "best"], "no variant"),
    (["--rate", "fast"], "not a number"),
    (["--fit", "stretch"], "--fit cannot be"),
    (["--mask", "{digit}"], "needs a picture"),
    (["--picture", "{digit}", "--mask", "{small}"], "mask is 9 × 9 px"),
    (["--picture", "{tmp}/none.png"], "no picture"),
    (["--transfer", "letters"], "other classes"),
    (["--unit", "relu2:1", "--transfer", "digits"], "Only classes"),
    (["--classes", "0-9", "--chains", "64"], "too many"),
    (["--generator", "pixels", "--picture", "{digit}", "--low", "3", "--high", "2"], "box is empty"),
])  # fmt: skip
def test_bad_input_gets_one_sentence(tmp_path: Path, run: Run, digit: Path, options: list[str], words: str) -> None:
    small = tmp_path / "small.png"
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(small)
    values = [text.format(digit=digit, small=small, tmp=tmp_path) for text in options]
    given = values if "--generator" in values else ["--generator", "digits-generator", *values]
    error = run("generate", "digits", *given, "--out", str(tmp_path / "out"), code=2)["error"]
    assert words in error["message"]
    assert error["hint"]
    assert not (tmp_path / "out").exists()


def test_a_generator_of_other_pictures_is_refused(tmp_path: Path, run: Run) -> None:
    for model, words in (("imagenette-robust", "takes colour ones"), ("letters", "is for 7 px")):
        error = run("generate", model, "--generator", "digits-generator", "--out", str(tmp_path / "o"), code=2)["error"]
        assert words in error["message"]


def test_training_asks_for_the_layer_that_is_the_code(tmp_path: Path, run: Run) -> None:
    error = run("train-generator", "efl", "--out", str(tmp_path / "o"), code=2)["error"]
    assert "Which layer of which network" in error["message"]
    for name, words in (("zzz", "folder or zip"), ("minst", "Did you mean mnist?")):
        error = run("train-generator", name, "--out", str(tmp_path / "o"), code=2)["error"]
        assert error["kind"] == "PictureError"
        assert f"no data set '{name}'" in error["message"]
        assert words in error["hint"]


def test_the_bundled_generator_is_small_and_keeps_classes() -> None:
    folder = files.bundled()["digits-generator"]
    assert (folder / files.WEIGHTS).stat().st_size < 3_000_000
    card = json.loads((folder / files.CARD).read_text())
    assert card["class_kept"] >= 0.95
    assert files.load(folder).code_shape == (64,)


def test_the_bundled_generator_of_faces_reaches_expressions(tmp_path: Path, run: Run) -> None:
    folder = files.bundled()["faces-generator"]
    assert (folder / files.WEIGHTS).stat().st_size < 5_000_000
    assert files.load(folder).code_shape == (128, 6, 6)
    data = run("generate", "faces", "--generator", "faces-generator", "--classes", "3,5", "--steps", "20",
               "--rate", "0.2", "--out", str(tmp_path / "out"))  # fmt: skip
    assert all(one["probability"] > 0.9 for one in data["targets"])
    assert data["walk"]["start"] == "codes"
