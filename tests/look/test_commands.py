"""vizcore look, top and weights: what they print for machines, what they write, how they refuse."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.look import nets
from vizcore.cli import main
from vizcore.layers import Cut
from vizcore.look import sheets
from vizcore.look.attribution import METHODS
from vizcore.look.units import tensor
from vizcore.zoo.load import load

Run = Callable[..., dict[str, Any]]
MODEL = "imagenette-robust"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a photo.png"
    Image.fromarray(nets.picture(70, 90)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "many"
    for i in range(6):
        (root / "xy"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(nets.picture(64, 64, i)).save(root / "xy"[i % 2] / f"{i}.png")
    (root / "x" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return root


def opened(path: str) -> Image.Image:
    image = Image.open(path)
    image.load()
    return image


@pytest.mark.parametrize("method", ["activations", "strip", *METHODS])
def test_look_writes_a_sheet_or_says_why_not(run: Run, photo: Path, tmp_path: Path, method: str) -> None:
    args = ("look", MODEL, photo, "--method", method, "--out", tmp_path / "out")
    if method == "lrp":  # residual sums are computed without modules
        error = run(*args, code=2)["error"]
        assert error["kind"] == "LayerError"
        assert "relevance" in error["message"]
        return
    found = run(*args)
    assert {"model", "layer", "method", "files", "seconds"} <= set(found)
    assert (found["model"], found["method"], found["skipped"]) == (MODEL, method, 0)
    assert ("intercepted" in found) == (method in ("deconv", "guided", "guided-gradcam"))
    [file] = found["files"]
    image = opened(file)
    assert min(image.size) > 100
    facts = json.loads(image.info[sheets.KEY])
    assert (facts["model"], facts["method"]) == (MODEL, method)
    assert len(np.unique(np.asarray(image))) > 20
    if method not in ("activations", "strip"):
        net = load(MODEL)
        with torch.no_grad():
            logits = net.module(tensor(net, nets.picture(70, 90)))[0]
        assert found["pictures"][0]["channel"] == int(logits.argmax())
        assert found["pictures"][0]["score"] == pytest.approx(float(logits.max()), rel=1e-4)


def test_all_methods_at_once_name_what_is_left_out(run: Run, photo: Path, tmp_path: Path) -> None:
    args = ("look", MODEL, photo, "--layer", "block2", "--channel", 3, "--size", 32, "--out", tmp_path / "o")
    found = run(*args, "--method", "all")
    assert len(found["files"]) == len(METHODS) - 1
    assert "lrp" in [note.split(":")[0] for note in found["notes"]]
    net = load(MODEL)
    with torch.no_grad():
        maps = Cut(net.module, ["block2"])(tensor(net, nets.picture(70, 90), size=32))["block2"][0, 3]
    assert found["pictures"][0]["score"] == pytest.approx(float(maps.max()), rel=1e-4)


def test_a_check_gives_the_curve(run: Run, photo: Path, tmp_path: Path) -> None:
    found = run("look", MODEL, photo, "--method", "saliency", "--check", "--out", tmp_path / "o")
    points = found["pictures"][0]["check"]["saliency"]
    assert [points[0]["layer"], points[1]["layer"], points[-1]["layer"]] == ["", "fc", "stem.conv"]
    assert points[0]["absolute"] == 1
    assert points[-1]["absolute"] < 0.7
    assert all(-1 <= point["signed"] <= 1 for point in points)


def test_a_neuron_and_a_mean(run: Run, photo: Path, tmp_path: Path) -> None:
    base = ("look", MODEL, photo, "--layer", "block1", "--channel", "2", "--method", "saliency", "--out", tmp_path)
    net = load(MODEL)
    with torch.no_grad():
        maps = Cut(net.module, ["block1"])(tensor(net, nets.picture(70, 90)))["block1"][0, 2]
    one = run(*base, "--neuron", "3,5")["pictures"][0]["score"]
    assert one == pytest.approx(float(maps[3, 5]), rel=1e-3, abs=1e-5)
    mean = run(*base, "--reduce", "mean")["pictures"][0]["score"]
    assert mean == pytest.approx(float(maps.mean()), rel=1e-3)


def test_a_folder_is_looked_at_whole_and_broken_pictures_are_counted(run: Run, folder: Path, tmp_path: Path) -> None:
    found = run("look", MODEL, folder, "--method", "deconv", "--layer", "block1", "--out", tmp_path / "o")
    assert len(found["files"]) == len(set(found["files"])) == 6
    assert found["skipped"] == 1
    assert found["broken"][0]["picture"] == "x/broken.jpg"
    assert found["intercepted"] > 0


def test_networks_side_by_side(run: Run, photo: Path, tmp_path: Path) -> None:
    found = run("look", MODEL, photo, "--beside", "digits", "--depth", "first", "--method", "guided", "--out", tmp_path)
    networks = found["pictures"][0]["networks"]
    assert [(item["model"], item["layer"]) for item in networks] == [(MODEL, "stem.conv"), ("digits", "conv1")]
    image = opened(found["files"][0])
    assert image.width > 2.5 * image.height
    maps = run("look", MODEL, photo, "--beside", "digits", "--depth", "last", "--out", tmp_path)
    assert opened(maps["files"][0]).width > 500


@pytest.mark.parametrize(("args", "kind", "text"), [
    (("--method", "magic"), "SpecError", "no method"),
    (("--method", "deconv", "--mode", "viridis"), "SpecError", "cannot be shown"),
    (("--reduce", "median"), "SpecError", "reduced"),
    (("--focus", "0"), "SpecError", "out of range"),
    (("--focus", "nan"), "SpecError", "out of range"),
    (("--neuron", "3"), "SpecError", "no position"),
    (("--neuron", "99,0", "--layer", "block1", "--method", "deconv"), "LayerError", "no position"),
    (("--layer", "block9"), "LayerError", "no layer"),
    (("--layer", "block1", "--channel", "64", "--method", "deconv"), "LayerError", "no filter"),
    (("--layer", "flatten"), "LayerError", "spatial maps"),
    (("--layer", "stem.conv", "--method", "gradcam"), "LayerError", "maps before"),
    (("--size", "5000"), "SpecError", "out of range"),
    (("--beside", "digits", "--depth", "deep"), "SpecError", "no depth"),
    (("--beside", "digits", "--method", "all"), "SpecError", "one network"),
    (("--beside", "digits", "--beside", "digits", "--beside", "digits", "--beside", "digits"), "SpecError", "three"),
    (("--check",), "SpecError", "--check"),
    (("--device", "abacus"), "EngineError", "no device"),
])  # fmt: skip
def test_look_refuses(run: Run, photo: Path, tmp_path: Path, args: tuple[str, ...], kind: str, text: str) -> None:
    error = run("look", MODEL, photo, "--out", tmp_path / "o", *args, code=2)["error"]
    assert error["kind"] == kind, error
    assert text in error["message"]
    assert error["hint"]


def bad_pictures(root: Path) -> dict[str, Path]:
    root.mkdir()
    names = {name: root / name for name in ("empty.png", "text.png", "cut.jpg", "none.png", "folder", "no.mp4")}
    names["empty.png"].write_bytes(b"")
    names["text.png"].write_text("<svg/>")
    stream = io.BytesIO()
    Image.fromarray(nets.picture()).save(stream, "JPEG")
    names["cut.jpg"].write_bytes(stream.getvalue()[:900])
    names["no.mp4"].write_bytes(b"nothing")
    names["folder"].mkdir()
    return names


def test_pictures_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    for path in bad_pictures(tmp_path / "bad").values():
        error = run("look", MODEL, path, "--out", tmp_path / "o", code=2)["error"]
        assert error["kind"] == "PictureError", error
        assert str(tmp_path) not in error["message"] + error["hint"]


def test_top_writes_a_sheet_per_filter_and_a_report(run: Run, folder: Path, tmp_path: Path) -> None:
    base = ("top", MODEL, folder, "--layer", "block1", "--channels", "1,3", "--out", tmp_path / "o")
    found = run(*base)
    assert {"model", "layer", "method", "files", "seconds", "intercepted"} <= set(found)
    assert (found["state"], found["pictures"], found["skipped"], found["resumed_from"]) == ("done", 7, 1, 0)
    assert [Path(file).name for file in found["files"]] == ["block1-0001-top.png", "block1-0003-top.png"]
    for item in found["filters"]:
        assert len(item["patches"]) == 6
        for patch in item["patches"]:
            assert patch["reproduced"] == pytest.approx(patch["value"], rel=1e-5)
        assert item["highest"] == item["patches"][0]["value"]
        assert 0 <= item["sparsity"] <= 1
    report = json.loads(Path(found["report"]).read_text())
    assert len(report["channels"]) == 64
    assert len(report["channels"][0]["histogram"]) == 64
    assert opened(found["files"][0]).width > 500
    again = run(*base)
    assert again["resumed_from"] == 7
    assert again["filters"] == found["filters"]
    assert run(*base, "--fresh", "--no-deconv")["resumed_from"] == 0
    assert run(*base, "--only", "/x/")["pictures"] == 4


@pytest.mark.parametrize(("args", "kind"), [
    (("--layer", "block1", "--channels", "64"), "LayerError"), (("--layer", "nothing"), "LayerError"),
    (("--layer", "block1", "--channels", "a-b"), "SpecError"), (("--layer", "block1", "--size", "9999"), "SpecError"),
    (("--layer", "block1", "--only", "zebra"), "PictureError"),
])  # fmt: skip
def test_top_refuses(run: Run, folder: Path, tmp_path: Path, args: tuple[str, ...], kind: str) -> None:
    assert run("top", MODEL, folder, *args, "--out", tmp_path / "o", code=2)["error"]["kind"] == kind


def test_ctrl_c_keeps_what_is_known(run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizcore.look.tally._BATCH_PIXELS", 0)  # four pictures at a time

    @contextlib.contextmanager
    def bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
        yield lambda done: os.kill(os.getpid(), signal.SIGINT) if 0 < done < 7 else None

    monkeypatch.setattr("vizcore.cli.bars.steps", bar)
    base = ("top", MODEL, folder, "--layer", "block1", "--channels", "0", "--out", tmp_path / "o")
    found = run(*base, code=130)
    assert found["state"] == "interrupted"
    assert 0 < found["done"] < 7
    assert len(found["files"]) == 1
    again = run(*base)
    assert (again["state"], again["resumed_from"], again["done"]) == ("done", found["done"], 7)


def test_weights_as_pictures_and_as_a_matrix(run: Run, photo: Path, tmp_path: Path) -> None:
    found = run("weights", MODEL, "--out", tmp_path)
    assert {"model", "layer", "method", "files", "seconds"} <= set(found)
    assert (found["layer"], found["method"]) == ("stem.conv", "kernels")
    assert found["shape"][1] == 3
    assert opened(found["files"][0]).width > 200
    assert run("weights", MODEL, "--layer", "block2.down.conv", "--out", tmp_path)["method"] == "matrix"
    assert run("weights", MODEL, "--layer", "fc", "--out", tmp_path)["method"] == "matrix"
    base = ("weights", MODEL, "--layer", "block1", "--project", "--channels", "0-2", "--out", tmp_path)
    assert run(*base, code=2)["error"]["kind"] == "LayerError"  # a block has no kernels
    conv = ("weights", MODEL, "--layer", "block1.down.conv", "--project", "--channels", "0-2", "--out", tmp_path)
    assert run(*conv)["method"] == "projection"
    assert run(*conv, "--image", photo)["method"] == "projection"
    for args, kind in ((("--layer", "none"), "LayerError"), (("--channels", "999"), "LayerError"),
                       (("--image", tmp_path / "none.png"), "PictureError")):  # fmt: skip
        assert run("weights", MODEL, "--out", tmp_path, *args, code=2)["error"]["kind"] == kind


def test_people_get_text(photo: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["look", MODEL, str(photo), "--method", "deconv", "--out", str(tmp_path)]) == 0
    assert "rectifiers" in capsys.readouterr().out
    assert main(["top", MODEL, str(folder), "--layer", "block1", "--channels", "0", "--out", str(tmp_path)]) == 0
    assert "7 of 7 pictures" in capsys.readouterr().out
    assert main(["weights", MODEL, "--out", str(tmp_path)]) == 0
    assert "kernels" in capsys.readouterr().out
