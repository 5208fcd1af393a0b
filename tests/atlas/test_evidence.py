"""What lies beside the tiles: that it says the truth, is made once, and fails without harm."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.atlas import nets
from vizcore.atlas import engines, evidence, manifest, plan
from vizcore.atlas.evidence import PARTS, SURVEY, Evidence
from vizcore.atlas.shard import Shard, render_shard
from vizcore.atlas.store import Folder, open_store, tile_name
from vizcore.errors import ExportError, PictureError
from vizcore.layers import Cut
from vizcore.look.collections import collect
from vizcore.look.units import tensor

Run = Callable[..., dict[str, Any]]
Refused = Callable[..., dict[str, str]]
FAST = ("--size", "16", "--steps", "3", "--pad", "0", "--set", "precision=fp32", "--layers", "conv*")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nets.pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


def beside(out: Path, layer: str, channel: int) -> dict[str, Any]:
    [found] = [one for one in manifest.read_all(open_store(out)) if one.layer == layer]
    return evidence.read(open_store(out), found.units[channel])


def scores(out: Path, layer: str, channel: int) -> dict[str, Any]:
    [found] = [one for one in manifest.read_all(open_store(out)) if one.layer == layer]
    said: dict[str, Any] = found.units[channel]["scores"]
    return said


def opened(picture: str) -> Image.Image:
    head, _, text = picture.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_what_lies_beside_a_tile_is_true(data: Path, tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path, evidence=nets.beside(data))
    nets.run(work, network, nets.Inline(work))
    collection = collect(data)
    with torch.no_grad():
        output = Cut(network.module, ["conv2"])(tensor(network, *map(collection.read, range(len(collection)))))
    maps = output["conv2"].numpy()
    peaks, flat = maps.max((2, 3)), maps.transpose(1, 0, 2, 3).reshape(6, -1)
    wanted = np.corrcoef(flat)
    weight = network.module.conv2.weight.detach().numpy()
    for channel in range(6):
        found = beside(tmp_path, "conv2", channel)
        assert set(found) == {"steps", *PARTS}
        assert [one["step"] for one in found["steps"]["steps"]] == [0, 4]
        order = np.argsort(-peaks[:, channel], kind="stable")[:9]
        assert [one["name"] for one in found["patches"]["patches"]] == [collection.names[i] for i in order]
        assert found["patches"]["highest"] == pytest.approx(peaks[:, channel].max(), rel=1e-4)
        said = scores(tmp_path, "conv2", channel)
        assert said["highest"] == pytest.approx(peaks[:, channel].max(), rel=1e-4)
        assert said["mean"] == pytest.approx(flat[channel].mean(), rel=1e-3, abs=1e-5)
        assert said["off"] == pytest.approx((flat[channel] <= 0).mean(), abs=1e-6)
        assert said["nearest"] == pytest.approx(max(np.delete(wanted[channel], channel).max(), 0), abs=1e-3)
        assert opened(found["patches"]["patches"][0]["picture"]).size == (5, 5)  # its receptive field
        assert len(found["deconv"]["patches"]) == 9
        for other, value in found["similar"]["neighbours"]:
            assert value == pytest.approx(wanted[channel, other], abs=1e-3)
        ranked = [other for other in np.argsort(-wanted[channel]).tolist() if wanted[channel, other] > 0]
        assert [other for other, _ in found["similar"]["neighbours"]] == ranked[1:]
        [kernel] = found["weights"]["kernels"]
        norms = np.linalg.norm(weight[channel].reshape(4, -1), axis=1)
        assert [one["origins"] for one in kernel["sources"]] == [[["conv1", int(i)]] for i in np.argsort(-norms)]
        assert sum(one["share"] for one in kernel["sources"]) == pytest.approx(1, abs=1e-4)
        assert said["strongest"] == pytest.approx((norms**2 / (norms**2).sum()).max(), abs=1e-5)
    first = beside(tmp_path, "conv1", 0)["weights"]["kernels"][0]
    assert opened(first["picture"]).size == (3, 3)


def test_a_part_that_fails_is_told_and_costs_no_other(data: Path, tmp_path: Path) -> None:
    """The trap of channel 1 springs in its deconvolution: patches, weights and neighbours are there all the same."""
    work, network = nets.work_for(tmp_path, nets.POISONED, evidence=nets.beside(data))
    task = nets.run(work, network, nets.Inline(work), "conv1")
    assert (task.progress.done, task.progress.failed) == (3, 1)
    assert {part: count["failed"] for part, count in task.progress.parts.items() if count["failed"]} == {"deconv": 1}
    found = beside(tmp_path, "conv1", 1)
    assert found["deconv"] == {"why": "the trap of channel 1"}
    assert {"patches", "weights", "similar"} <= set(found)
    again = nets.run(work, network, nets.Inline(work), "conv1").progress.parts
    assert {part: (count["skipped"], count["failed"]) for part, count in again.items()} == {
        "patches": (4, 0), "deconv": (3, 1), "weights": (4, 0), "similar": (4, 0),
    }  # fmt: skip


def test_parts_of_tiles_that_are_there_join_them_and_other_pictures_make_others(data: Path, tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path)
    nets.run(work, network, nets.Inline(work))
    tiles = nets.tiles(tmp_path)
    more = dataclasses.replace(work, evidence=nets.beside(data, ("weights", "patches")))
    task = nets.run(more, network, nets.Inline(more))
    assert (task.progress.skipped, task.progress.parts["patches"]["done"]) == (10, 10)
    assert nets.tiles(tmp_path) == tiles
    old = beside(tmp_path, "conv1", 2)
    others = nets.pictures(tmp_path / "others.zip", seed=50)
    more = dataclasses.replace(work, evidence=nets.beside(others, ("weights", "patches")))
    parts = nets.run(more, network, nets.Inline(more)).progress.parts
    assert (parts["weights"]["skipped"], parts["patches"]["done"]) == (10, 10)
    new = beside(tmp_path, "conv1", 2)
    assert new["weights"] == old["weights"]
    assert new["patches"] != old["patches"]


def test_a_survey_is_made_once_and_again_if_it_is_damaged(data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    passes: list[str] = []
    from vizcore.look.tally import Tally

    whole = Tally.run
    monkeypatch.setattr(Tally, "run", lambda self: (passes.append(self.layer.path), whole(self))[1])
    work, network = nets.work_for(tmp_path, evidence=nets.beside(data))
    nets.run(work, network, nets.Inline(work))
    assert sorted(passes) == ["conv1", "conv2"]
    for path in tmp_path.glob("surveys/*"):
        path.write_bytes(path.read_bytes()[:100])
    before = nets.parts(tmp_path)
    gone = sorted((tmp_path / "parts").glob("*/*"))
    for path in gone:
        path.unlink()
    nets.run(work, network, nets.Inline(work))
    steps = {f"{work.head.address(layer, c)}.json" for layer, n in (("conv1", 4), ("conv2", 6)) for c in range(n)}
    assert nets.parts(tmp_path) == {name: data for name, data in before.items() if name not in steps}


class Deadly(nets.Inline):
    """Its worker dies of every survey, and of nothing else."""

    def next(self, timeout: float) -> engines.Event | None:
        if not self.events and self.shards and self.shards[0].parts == (SURVEY,):
            return engines.Lost(self.shards.pop(0))
        return super().next(timeout)


def test_a_survey_that_kills_its_worker_three_times_is_given_up(data: Path, tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path, evidence=nets.beside(data, ("patches",)))
    task = nets.run(work, network, Deadly(work))
    assert (task.progress.done, task.progress.parts["patches"]["failed"]) == (10, 10)
    assert "died" in beside(tmp_path, "conv1", 0)["patches"]["why"]


def test_other_pictures_on_a_worker_end_the_job_and_tiles_stay(data: Path, tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path / "atlas")
    nets.run(work, network, nets.Inline(work))
    before = nets.tiles(tmp_path / "atlas")
    given = nets.beside(data)
    for wrong, text in (
        (dataclasses.replace(given, fingerprint="0" * 64), "other pictures"),
        (dataclasses.replace(given, data=str(tmp_path / "away.zip")), "A worker cannot open the pictures"),
    ):
        bad = dataclasses.replace(work, evidence=wrong)
        with pytest.raises(PictureError, match=text):
            nets.run(bad, network, nets.Inline(bad))
        assert nets.tiles(tmp_path / "atlas") == before


def test_a_full_disk_ends_the_job_and_keeps_the_parts_that_are_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, network = nets.work_for(tmp_path)
    nets.run(work, network, nets.Inline(work))
    work = dataclasses.replace(work, evidence=nets.beside(data, ("weights",)))
    write, left = Folder.write, [3]

    def full(self: Folder, name: str, content: bytes) -> None:
        left[0] -= name.startswith("parts")
        if left[0] < 0:
            raise ExportError("The disk is full; nothing was written.", "Free some space and try again.")
        write(self, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "write", full)
        with pytest.raises(ExportError, match="full"):
            nets.run(work, network, nets.Inline(work))
    assert nets.run(work, network, nets.Inline(work)).progress.parts["weights"]["skipped"] == 3


def test_a_survey_goes_before_what_is_made_from_it() -> None:
    left = {"patches": list(range(10)), "weights": [3]}
    shards = plan.cut_parts([("a", left), ("b", {"weights": [0]})], {"a": (5.0, 20.0), "b": (9.0, 1.0)}, 2)
    assert [(one.layer, one.parts, len(one.channels)) for one in shards if one.layer == "b"] == [("b", ("weights",), 1)]
    assert [one.channels for one in shards if one.parts == (SURVEY,)] == [()]
    assert sorted(c for one in shards if one.layer == "a" for c in one.channels) == list(range(10))
    assert max(one.seconds for one in shards) <= plan.LONGEST
    assert not [one for one in plan.cut_parts([("a", left)], {"a": (5.0, 1.0)}, 2, {"a"}) if one.parts == (SURVEY,)]


def test_the_scores_of_parts_are_found_again_and_go_with_them(data: Path, tmp_path: Path) -> None:
    """An atlas of an older vizcore has parts without scores, and a manifest may be lost."""
    work, network = nets.work_for(tmp_path, evidence=nets.beside(data))
    nets.run(work, network, nets.Inline(work))
    before = scores(tmp_path, "conv2", 3)
    assert set(before) == {"highest", "mean", "off", "selectivity", "strongest", "nearest"}
    for path in (tmp_path / "layers").glob("*.json"):
        text = json.loads(path.read_text())
        for unit in text["units"].values():
            del unit["scores"]
        path.write_text(json.dumps(text))
    nets.run(work, network, nets.Inline(work))
    assert scores(tmp_path, "conv2", 3) == before
    for path in (tmp_path / "layers").glob("*.json"):
        path.unlink()
    nets.run(work, network, nets.Inline(work))
    assert scores(tmp_path, "conv2", 3) == before
    [one] = [found for found in manifest.read_all(open_store(tmp_path)) if found.layer == "conv2"]
    manifest.put_part(one, 3, "patches", None)
    assert set(one.units[3]["scores"]) == {"strongest", "nearest"}


def test_the_peak_of_a_tile_is_the_highest_activation_in_it(tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path)
    nets.run(work, network, nets.Inline(work))
    [found] = [one for one in manifest.read_all(open_store(tmp_path)) if one.layer == "conv2"]
    for channel, unit in found.units.items():
        with Image.open(io.BytesIO(open_store(tmp_path).read(tile_name(unit["tile"])))) as picture:
            pixels = np.asarray(picture)
        with torch.no_grad():
            maps = Cut(network.module, ["conv2"])(tensor(network, pixels, size=16))["conv2"][0, channel]
        assert unit["peak"] == pytest.approx(float(maps.max()), rel=1e-4)
        assert unit["end"] == pytest.approx(float(maps.mean()), rel=1e-4)


def test_a_document_that_names_other_files_or_is_damaged_is_left_out(tmp_path: Path) -> None:
    one = manifest.Manifest("a", "conv", 0, 4, 1, 1, None, {0: {"patches": "../../secret"}})
    with pytest.raises(ExportError, match="damaged"):
        manifest.parse(one.to_json())
    store = open_store(tmp_path)
    store.write(evidence.file_of("0" * 40), b"{")
    store.write(evidence.file_of("1" * 40), b"[1]")
    assert evidence.read(store, {"patches": "0" * 40, "deconv": "1" * 40, "weights": "2" * 40}) == {}


def test_what_is_refused(run: Run, refused: Refused, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    args = ("atlas", nets.TINY, *FAST, "--out", out)
    assert "--data" in refused(*args, "--with", "patches", kind="SpecError")["hint"]
    assert "similar" in refused(*args, "--with", "patches,photos", "--data", data, kind="SpecError")["hint"]
    refused(*args, "--data", data, kind="SpecError")
    refused(*args, "--with", "weights", "--data", data, kind="SpecError")
    refused(*args, "--with", "all", "--data", tmp_path / "away", kind="PictureError")
    refused(*args, "--with", "all", "--data", data, "--only", "/nowhere/", kind="PictureError")
    (tmp_path / "torn.zip").write_bytes(data.read_bytes()[:-30])
    refused(*args, "--with", "all", "--data", tmp_path / "torn.zip", kind="PictureError")
    assert not out.exists()


def test_the_command_tells_of_the_parts(run: Run, data: Path, tmp_path: Path) -> None:
    args = ("atlas", nets.TINY, *FAST, "--out", tmp_path / "atlas", "--with", "all", "--data", data)
    told = run(*args, "--channels", "0-1")
    assert {part: count["done"] for part, count in told["parts"].items()} == dict.fromkeys(PARTS, 4)
    told = run(*args, "--channels", "0-2")
    assert (told["done"], told["skipped"]) == (2, 4)
    assert told["parts"]["similar"] == {"total": 6, "skipped": 4, "done": 2, "failed": 0}
    site = tmp_path / "site"
    run("atlas", "export", tmp_path / "atlas", "--out", site)
    script = (site / "units" / "1-2.js").read_text()
    value = json.loads(script.removeprefix('atlasData("unit-1-2",').removesuffix(")\n"))
    assert set(value) == {"steps", *PARTS}


def test_render_shard_gathers_what_is_missing_of_a_shard(data: Path, tmp_path: Path) -> None:
    work, _ = nets.work_for(tmp_path, evidence=nets.beside(data))
    first = render_shard(work, Shard("conv1", (0,), parts=("patches", "deconv")))
    assert [(one["channel"], one["part"]) for one in first] == [(0, "patches"), (0, "deconv")]
    told: list[Any] = []
    again = render_shard(work, Shard("conv1", (0, 1), parts=("patches", "deconv")), told.append)
    assert [one["address"] for one in again[:2]] == [one["address"] for one in first]
    assert [one["doing"] for one in told if "doing" in one] == [[1]]


def test_the_plan_knows_no_other_parts() -> None:
    assert evidence.parse("all") == PARTS
    assert evidence.parse(" similar, patches") == ("patches", "similar")
    assert evidence.parse("") == ()
    assert Evidence().parts == ()
