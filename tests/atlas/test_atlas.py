"""An atlas: addresses, the store, the plan, what is refused, and its static site."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.atlas import nets
from vizcore.ascent import ascend
from vizcore.atlas import head, manifest, plan, shard, site
from vizcore.atlas.shard import Shard, render_shard
from vizcore.atlas.store import Folder, open_store, tile_name
from vizcore.engine import devices
from vizcore.errors import ExportError, LayerError, SpecError
from vizcore.export import read_recipe

Run = Callable[..., dict[str, Any]]
Refused = Callable[..., dict[str, str]]
FAST = ("--size", "16", "--steps", "3", "--pad", "0", "--set", "precision=fp32")


# Tiles --------------------------------------------------------------------------------------------------------------


def test_a_tile_is_the_last_picture_of_its_own_run(tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path)
    reports = render_shard(work, Shard("conv2", (4, 1)))
    assert [report["channel"] for report in reports] == [4, 1]
    for channel in (1, 4):
        *_, last = ascend(work.head.spec("conv2", (channel,)), network, exact=True)
        assert last.images is not None
        data = open_store(tmp_path).read(tile_name(work.head.address("conv2", channel)))
        assert data is not None
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), last.images[0])
        recipe = read_recipe(io.BytesIO(data))
        assert (recipe.spec.layer, recipe.channel, recipe.step) == ("conv2", channel, 4)
        assert recipe.weights_hash == network.card.weights_hash
        assert recipe.extra["end"] > recipe.extra["start"]


def test_with_exact_the_company_of_a_filter_does_not_matter(tmp_path: Path) -> None:
    one, _ = nets.work_for(tmp_path / "one")
    two, _ = nets.work_for(tmp_path / "two")
    render_shard(one, Shard("conv2", (0, 1, 2, 3)))
    render_shard(two, Shard("conv2", (3, 1)))
    render_shard(two, Shard("conv2", (2, 0)))
    assert nets.tiles(tmp_path / "one") == nets.tiles(tmp_path / "two")


def test_every_part_of_an_address_counts() -> None:
    basis = head.Head("a", None, "w", "Crisp", {"size": 16, "seed": 0})
    others = [
        dataclasses.replace(basis, weights_hash="v"),
        dataclasses.replace(basis, settings={"size": 16, "seed": 1}),
        dataclasses.replace(basis, exact=True),
    ]
    addresses = [one.address("l", 0) for one in (basis, *others)] + [basis.address("l", 1), basis.address("m", 0)]
    assert len(set(addresses)) == 6
    assert dataclasses.replace(basis, model="b").address("l", 0) == basis.address("l", 0)


def test_a_filter_that_fails_three_times_is_told_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, network = nets.work_for(tmp_path, nets.POISONED)
    tries: list[tuple[int, ...]] = []
    attempt = shard._attempt
    monkeypatch.setattr(
        shard, "_attempt", lambda work, layer, c, *rest: (tries.append(c), attempt(work, layer, c, *rest))[1]
    )
    task = nets.run(work, network, nets.Inline(work), "conv1")
    assert (task.progress.done, task.progress.failed, task.progress.total) == (3, 1, 4)
    assert tries.count((1,)) == 1 + 3  # in its batch, and three times alone
    [layer] = manifest.read_all(open_store(tmp_path))
    assert layer.units[1]["error"]["message"] == "the trap of channel 1"
    assert nets.run(work, network, nets.Inline(work), "conv1").progress.skipped == 3  # it gets another chance


def test_in_a_batch_the_others_are_rendered_all_the_same(tmp_path: Path) -> None:
    work, _ = nets.work_for(tmp_path, nets.POISONED, exact=False)
    reports = {report["channel"]: report for report in render_shard(work, Shard("conv1", (0, 1, 2, 3)))}
    assert ["tile" in reports[channel] for channel in range(4)] == [True, False, True, True]


def test_a_full_disk_ends_the_job_and_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, network = nets.work_for(tmp_path)
    write, left = Folder.write, [3]

    def full(self: Folder, name: str, data: bytes) -> None:
        if name.startswith("tiles"):
            left[0] -= 1
            if left[0] < 0:
                raise ExportError("The disk is full; nothing was written.", "Free some space and try again.")
        write(self, name, data)

    monkeypatch.setattr(Folder, "write", full)
    engine = nets.Inline(work)
    with pytest.raises(ExportError, match="full"):
        nets.run(work, network, engine)
    assert engine.closed
    assert len(nets.tiles(tmp_path)) == 3
    assert sum(len(one.done) for one in manifest.read_all(open_store(tmp_path))) == 3
    left[0] = 99
    assert nets.run(work, network, nets.Inline(work)).progress.skipped == 3


# The store ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [False, True], ids=["folder", "url"])
def test_a_store_gives_back_what_it_took(tmp_path: Path, url: bool) -> None:
    place = f"memory://{tmp_path.name}/atlas" if url else str(tmp_path / "atlas")
    store = open_store(place)
    with store.prepare():
        assert store.read("tiles/ab/x.png") is None
        store.write("tiles/ab/x.png", b"one")
        store.write("tiles/ab/x.png", b"two")
        store.write("layers/y.json", b"{}")
    again = open_store(store.place)
    assert again.read("tiles/ab/x.png") == b"two"
    assert again.names("tiles") == {"tiles/ab/x.png"}
    assert again.names("layers") == {"layers/y.json"}
    assert again.names("nothing") == set()


def test_an_atlas_at_a_url_is_that_of_a_folder(tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path)
    far = dataclasses.replace(work, place=f"memory://{tmp_path.name}/far")
    for one in (work, far):
        nets.run(one, network, nets.Inline(one))
    names = open_store(work.place).names("tiles")
    assert names == open_store(far.place).names("tiles")
    assert all(open_store(work.place).read(name) == open_store(far.place).read(name) for name in names)


def test_two_jobs_do_not_write_to_one_atlas(tmp_path: Path) -> None:
    with open_store(tmp_path).prepare():
        (tmp_path / ".0123456789abcdef.part").touch()
        with pytest.raises(ExportError, match="Another job"), open_store(tmp_path).prepare():
            pass
    with open_store(tmp_path).prepare():
        assert not list(tmp_path.glob(".*.part"))  # what a killed job left half written


def test_a_manifest_names_no_file_but_tiles() -> None:
    one = manifest.Manifest("a", "conv", 0, 4, 1, 1, None, {0: {"tile": "0" * 40}, 1: {"error": {}, "tries": 3}})
    assert manifest.parse(one.to_json()) == one
    for tile in ("../../x", "0" * 39, 7, None, "0" * 40 + "\n"):
        one.units[2] = {"tile": tile}
        with pytest.raises(ExportError, match="damaged"):
            manifest.parse(one.to_json())


# The plan -----------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(1, 400), st.floats(0.001, 40)), min_size=1, max_size=6),
    st.integers(1, 8),
    st.sampled_from([1, 16]),
)
def test_shards_are_of_one_layer_largest_first_and_have_each_filter_once(
    layers: list[tuple[int, float]], workers: int, width: int
) -> None:
    missing = [(f"l{number}", range(count)) for number, (count, _) in enumerate(layers)]
    cost = {f"l{number}": seconds for number, (_, seconds) in enumerate(layers)}
    shards = plan.cut(missing, cost, workers, width)
    assert [one.seconds for one in shards] == sorted((one.seconds for one in shards), reverse=True)
    for layer, channels in missing:
        assert sorted(c for one in shards if one.layer == layer for c in one.channels) == list(channels)
    for one in shards:
        whole_batch = width * cost[one.layer]
        assert one.seconds <= max(plan.LONGEST, whole_batch if whole_batch <= plan.LONGEST else cost[one.layer]) + 1e-6


def test_there_are_as_many_processes_as_cores_and_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nets.load(nets.TINY, allow_factory=True)
    for free, cores, wanted in ((64e9, 4, 4), (64e9, 64, plan.MOST), (3e9, 4, 2), (1e8, 4, 1), (None, 4, 1)):
        monkeypatch.setattr(devices, "free_memory", lambda free=free: free)
        assert plan.team(network, 16, "cpu", cores, 16) == wanted
    monkeypatch.setattr(devices, "free_memory", lambda: 3e9)
    assert plan.team(network, 2048, "cpu", 4, 16) == 1  # what goes through the network needs memory too


def test_a_short_job_is_not_spread_over_processes_that_have_yet_to_start() -> None:
    missing = [("a", range(10)), ("b", range(2))]
    for seconds, wanted in ((0.5, 1), (2.0, 2), (9.0, 4)):
        assert plan.worth(missing, {"a": seconds, "b": seconds}, 4) == wanted


def test_layers_are_chosen_by_pattern_kind_or_weights() -> None:
    network = nets.load(nets.TINY, allow_factory=True)

    def paths(pattern: str) -> list[str]:
        return [layer.path for _, layer in plan.choose_layers(network, pattern, 16)]

    assert paths("") == ["conv1", "conv2", "fc"]
    assert paths("relu") == ["relu1", "relu2"]
    assert paths("fc, conv?") == ["conv1", "conv2", "fc"]
    with pytest.raises(LayerError, match="conf1") as error:
        paths("conf1")
    assert "conv1" in error.value.hint
    with pytest.raises(LayerError, match="No layer has"):
        plan.wanted(plan.choose_layers(network, "", 16), plan.parse_channels("900-1000"))
    assert [one.channels for one in plan.wanted(plan.choose_layers(network, "", 16), plan.parse_channels("3-4,0"))] == [
        (0, 3), (0, 3, 4), (0, 3, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,,2", "-1"])
def test_lists_of_filters_that_cannot_be_read(text: str) -> None:
    with pytest.raises(SpecError):
        plan.parse_channels(text)


# The command --------------------------------------------------------------------------------------------------------


def test_what_is_refused(
    run: Run, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("vizcore.atlas.cluster.PATIENCE", "1s")
    out = tmp_path / "atlas"
    work, network = nets.work_for(out, exact=False)
    nets.run(work, network, nets.Inline(work))
    before = {path: path.read_bytes() for path in out.glob("**/*") if path.is_file()}
    refused("atlas", "digits", "--out", out, *FAST, kind="ExportError")  # another network
    refused("atlas", nets.TINY, "--out", out, *FAST, kind="ExportError")  # another number of steps
    assert {path: path.read_bytes() for path in out.glob("**/*") if path.is_file()} == before
    new = tmp_path / "new"
    assert "conv1" in refused("atlas", "digits", "--layers", "konv1", "--out", new, kind="LayerError")["hint"]
    refused("atlas", "digits", "--channels", "x", "--out", new, kind="SpecError")
    refused("atlas", "digits", "--channels", "5000", "--out", new, kind="LayerError")
    refused("atlas", "digits", "--preset", "None", "--out", new, kind="SpecError")
    refused("atlas", "digitz", "--out", new, kind="ModelError")
    refused("atlas", "digits", "--out", "nowhere://x/y", kind="ExportError")
    refused("atlas", "digits", "--workers", "2", "--scheduler", "tcp://127.0.0.1:9", "--out", new, kind="SpecError")
    assert not new.exists()
    refused("atlas", "digits", "--scheduler", "tcp://127.0.0.1:9", "--out", new, *FAST, kind="EngineError")
    (tmp_path / "file").write_text("")
    refused("atlas", "digits", "--out", tmp_path / "file", kind="ExportError")
    refused("atlas", "export", tmp_path, "--out", tmp_path / "site", kind="ExportError")
    (out / "atlas.json").write_text("{}")
    refused("atlas", "export", out, "--out", tmp_path / "site", kind="ExportError")


def test_the_command_says_what_is_there(run: Run, tmp_path: Path) -> None:
    args = ("atlas", nets.TINY, *FAST, "--layers", "conv1", "--out", tmp_path / "atlas")
    told = run(*args, "--channels", "1-2")
    assert (told["total"], told["done"], told["failed"], told["skipped"]) == (2, 2, 0, 0)
    told = run("atlas", "make", *args[1:])
    assert (told["total"], told["done"], told["failed"], told["skipped"]) == (4, 2, 0, 2)
    assert told["out"] == str(tmp_path / "atlas")
    assert told["layers"][0]["done"] == 4
    assert run(*args)["skipped"] == 4


# The site -----------------------------------------------------------------------------------------------------------


def test_a_site_has_each_picture_and_its_data_twice(run: Run, tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path / "atlas")
    nets.run(work, network, nets.Inline(work))
    out = tmp_path / "site"
    told = run("atlas", "export", tmp_path / "atlas", "--out", out)
    assert (told["layers"], told["filters"]) == (2, 10)
    about = json.loads((out / "data" / "atlas.json").read_text())
    assert [layer["layer"] for layer in about["layers"]] == ["conv1", "conv2"]
    for number in range(2):
        units = json.loads((out / "data" / f"layer-{number}.json").read_text())
        script = (out / "data" / f"layer-{number}.js").read_text()
        assert json.loads(script.removeprefix(f'atlasData("layer-{number}",').removesuffix(")\n")) == units
        for unit in units:
            tile = (out / "tiles" / f"{unit['tile']}.png").read_bytes()
            assert tile == open_store(work.place).read(tile_name(unit["tile"]))
            assert (out / "thumbs" / f"{unit['tile']}.webp").exists()
    assert all((out / name).stat().st_size for name in site.ASSETS)
    with pytest.raises(ExportError, match="itself"):
        site.export(open_store(work.place), Path(work.place))
