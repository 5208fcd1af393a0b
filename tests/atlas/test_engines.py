"""The same contract for both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.atlas import nets
from vizcore.atlas import evidence, manifest
from vizcore.atlas.cluster import Cluster
from vizcore.atlas.local import Local
from vizcore.atlas.shard import Shard, Work, render_shard
from vizcore.atlas.store import open_store
from vizcore.errors import ModelError

Make = Callable[[Work], Any]


@pytest.fixture(params=["local", "dask"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """An engine with one worker; closed at the end, whatever happens."""
    made: list[Any] = []

    def build(work: Work) -> Any:
        made.append(Local(work, 1) if request.param == "local" else Cluster(work, "local", 1))
        return made[-1]

    yield build
    for engine in made:
        engine.close()


def test_all_tiles_come_and_only_missing_ones_are_made_again(make: Make, tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path / "atlas")
    whole = nets.uninterrupted(tmp_path / "other")
    engine = make(work)
    told: list[tuple[str, dict[str, Any]]] = []
    task = nets.run(work, network, engine, notify=lambda kind, facts: told.append((kind, facts)))
    assert (task.progress.done, task.progress.failed, task.progress.skipped) == (10, 0, 0)
    assert nets.tiles(tmp_path / "atlas") == whole
    assert sorted((facts["layer"], facts["channel"]) for kind, facts in told if kind == "tile") == sorted(
        [("conv1", c) for c in range(4)] + [("conv2", c) for c in range(6)]
    )
    gone = sorted((tmp_path / "atlas").glob("tiles/*/*"))[:2]
    for path in gone:
        path.unlink()
    before = {path: path.stat() for path in (tmp_path / "atlas").glob("tiles/*/*")}
    task = nets.run(work, network, make(work))
    assert (task.progress.done, task.progress.skipped) == (2, 8)
    assert nets.tiles(tmp_path / "atlas") == whole
    for path, stat in before.items():
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


def test_evidence_comes_beside_the_tiles_and_only_missing_parts_are_made_again(make: Make, tmp_path: Path) -> None:
    data = nets.pictures(tmp_path / "pictures.zip")
    work, network = nets.work_for(tmp_path / "other", evidence=nets.beside(data))
    nets.run(work, network, nets.Inline(work))
    whole = nets.parts(tmp_path / "other")
    assert len(whole) == 10 * 5  # the four parts, and the pictures on the way
    out = tmp_path / "atlas"
    work, network = nets.work_for(out, evidence=nets.beside(data))
    task = nets.run(work, network, make(work))
    every = {"total": 10, "skipped": 0, "done": 10, "failed": 0}
    assert task.progress.parts == dict.fromkeys(("patches", "deconv", "weights", "similar"), every)
    assert nets.parts(out) == whole
    [conv2] = [one for one in manifest.read_all(open_store(out)) if one.layer == "conv2"]
    gone = [conv2.units[3]["patches"], conv2.units[5]["weights"]]
    for address in gone:
        (out / evidence.file_of(address)).unlink()
    before = {path: path.stat() for path in out.glob("[pt]*/*/*")}
    parts = nets.run(work, network, nets.Inline(work)).progress.parts  # what is missing is the job's to know
    assert {part: count["done"] for part, count in parts.items()} == {
        "patches": 1, "deconv": 0, "weights": 1, "similar": 0,
    }  # fmt: skip
    assert nets.parts(out) == whole
    for path, stat in before.items():
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


def test_a_filter_that_kills_its_worker_three_times_is_given_up(make: Make, tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path, nets.LETHAL)
    lost: list[Any] = []
    task = nets.run(
        work, network, make(work), "conv1", lambda kind, facts: lost.append(facts) if kind == "lost" else None
    )
    assert (task.progress.done, task.progress.failed, task.progress.total) == (3, 1, 4)
    assert len([facts for facts in lost if facts["channels"] == [1]]) == 3
    [conv1] = [one for one in manifest.read_all(open_store(tmp_path)) if one.layer == "conv1"]
    assert (conv1.done, conv1.failed) == ([0, 2, 3], [1])
    assert conv1.units[1]["tries"] == 3
    assert "died" in conv1.units[1]["error"]["message"]


def test_a_worker_with_other_weights_ends_the_job_and_tiles_stay(make: Make, tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path)
    render_shard(work, Shard("conv1", (0, 1)))
    before = nets.tiles(tmp_path)
    import dataclasses

    other = dataclasses.replace(work, head=dataclasses.replace(work.head, weights_hash="0" * 64))
    with pytest.raises(ModelError, match="other weights"):
        nets.run(work, network, make(other))
    assert nets.tiles(tmp_path) == before
