"""Files that somebody gave us: each refusal with a real file made here."""

from __future__ import annotations

import io
import pickle
import resource
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vizcore.errors import ModelError
from vizcore.zoo import weights
from vizcore.zoo.weights import read_state, state_hash


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


def refused(path: Path, *words: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_state(path)
    message = caught.value.message
    for word in words:
        assert word in message, message
    assert caught.value.hint
    assert str(path.parent) not in str(caught.value)
    assert "weights_only=False" not in str(caught.value)
    assert "\n" not in message
    return caught.value


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("envelope", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_torch_files_are_read(tmp_path: Path, form: str, envelope: str | None, prefix: str) -> None:
    path = tmp_path / "x.pt"
    wrapped = {prefix + key: value for key, value in state().items()}
    found = {envelope: wrapped, "epoch": 3} if envelope else wrapped
    torch.save(found, path, _use_new_zipfile_serialization=form == "zip")
    assert same(read_state(path), state())


def test_safetensors_are_read_and_the_ending_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    save_file(state(), path)
    found = read_state(path)
    assert all(torch.equal(found[key], value) for key, value in state().items())
    assert state_hash(found) == state_hash(state())
    changed = {**state(), "0.bias": state()["0.bias"] + 1}
    assert state_hash(changed) != state_hash(state())
    assert state_hash({**state(), "0.weight": state()["0.weight"].reshape(3, 4, 3, 3)}) != state_hash(state())


@pytest.mark.parametrize("form", ["zip", "legacy", "plain", "plain4"])
def test_code_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    path, marker = tmp_path / "x.pt", tmp_path / "marker"
    found = {**state(), "evil": Evil(marker)}
    if form.startswith("plain"):
        path.write_bytes(pickle.dumps(found, protocol=4 if form == "plain4" else 2))
    else:
        torch.save(found, path, _use_new_zipfile_serialization=form == "zip")
    refused(path, "contains code", "refused")
    assert not marker.exists()
    torch.load(path, weights_only=False) if not form.startswith("plain") else pickle.loads(path.read_bytes())
    assert marker.exists()  # the trap was real


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_refuses_what_the_look_at_names_lets_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    path, marker = tmp_path / "x.pt", tmp_path / "marker"
    torch.save({**state(), "evil": Evil(marker)}, path, _use_new_zipfile_serialization=zipped)
    monkeypatch.setattr(weights, "_refuse_code", lambda name, data: None)
    refused(path, "refused")
    assert not marker.exists()


def test_code_in_protocol_0_is_refused_and_not_run(tmp_path: Path) -> None:
    path, marker = tmp_path / "x.pt", tmp_path / "marker"
    path.write_bytes(pickle.dumps(Evil(marker), protocol=0))
    refused(path, "not a weights file")
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_whole_models_are_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.pt"
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3)), path, _use_new_zipfile_serialization=zipped)
    assert "state_dict" in refused(path, "whole model").hint


def test_torchscript_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    names = ("x/data.pkl", "x/constants.pkl", "x/code/__torch__.py")
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"\x80\x02}.")
    refused(path, "TorchScript")


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_old_tar_files_are_refused(tmp_path: Path, format: int) -> None:
    path = tmp_path / "x.pt"
    with tarfile.open(path, "w", format=format) as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    refused(path, "tar")


def test_empty_missing_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    refused(path, "cannot be opened")
    path.write_bytes(b"")
    refused(path, "empty")
    path.write_bytes(bytes(5000))
    refused(path, "incomplete")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10)
    refused(path, "not a weights file")
    refused(tmp_path, "cannot be opened")


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_truncated_files(tmp_path: Path, form: str, share: float) -> None:
    path = tmp_path / "x.bin"
    if form == "safetensors":
        save_file(state(), path)
    else:
        torch.save(state(), path, _use_new_zipfile_serialization=form == "zip")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path)


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><html>", b"\n  <html lang=en>", b"\xef\xbb\xbf<!doctype HTML>", b"<?xml version"]
)
def test_web_pages(tmp_path: Path, page: bytes) -> None:
    path = tmp_path / "resnet.pt"
    path.write_bytes(page + b"<body>Sign in</body>")
    refused(path, "web page")


def test_lfs_pointers(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    refused(path, "LFS pointer")


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.", zipfile.ZIP_STORED)
        with archive.open("x/data/0", "w") as member:
            for _ in range(200):
                member.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "compressed members")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(state(), path)
    with zipfile.ZipFile(path, "a") as archive:
        twin = next(info for info in archive.infolist() if "data/0" in info.filename)
        archive.filelist += [twin] * 500  # many names for the same bytes
        archive._didModify = True
    refused(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_that_declare_more_than_they_store(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.pt"
    torch.save({"w": torch.zeros(1).expand(40_000, 40_000)}, path, _use_new_zipfile_serialization=zipped)
    refused(path, "w", "declares 6.4 GB but stores 4 B")


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_strange_tensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    strange = {
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.zeros(3, device="meta"),
        "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "complex": torch.ones(3, dtype=torch.complex64),
    }
    for word, value in strange.items():
        torch.save({"fine": torch.ones(2), "odd.weight": value}, path)
        refused(path, "odd.weight", word)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(3, dtype=dtype), "b.weight": torch.tensor([1, value, 2], dtype=dtype)}, path)
    refused(path, "b.weight", "1 value of NaN or infinity")
    save_file({"big": torch.full((10,), 60000.0, dtype=torch.float16)}, path)
    assert read_state(path)


@pytest.mark.parametrize("found", [{}, [torch.ones(1)], {"a": 3}, {1: torch.ones(1)}, torch.ones(1)])
def test_what_is_no_state(tmp_path: Path, found: object) -> None:
    path = tmp_path / "x.pt"
    torch.save(found, path)
    refused(path, "does not hold a state_dict")
