"""The same contract for both engines, and what is left after kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.atlas import nets
from vizcore.atlas import manifest
from vizcore.atlas.cluster import Cluster
from vizcore.atlas.local import Local
from vizcore.atlas.shard import Shard, Work, render_shard
from vizcore.atlas.store import open_store
from vizcore.errors import EngineError, ModelError

Make = Callable[[Work], Any]
KILLS = 20 if os.environ.get("VIZCORE_SLOW") == "1" else 2


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


def uninterrupted(folder: Path, model: str = nets.TINY, **values: Any) -> dict[str, bytes]:
    """All tiles of conv1 and conv2, rendered here in two shards."""
    work, _ = nets.work_for(folder, model, **values)
    for layer, count in (("conv1", 4), ("conv2", 6)):
        render_shard(work, Shard(layer, tuple(range(count))))
    return nets.tiles(folder)


def test_all_tiles_come_and_only_missing_ones_are_made_again(make: Make, tmp_path: Path) -> None:
    work, network = nets.work_for(tmp_path / "atlas")
    whole = uninterrupted(tmp_path / "other")
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


def test_dask_listens_on_this_machine_only_and_compares_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, _ = nets.work_for(tmp_path)
    engine = Cluster(work, "local", 1)
    try:
        own = engine._own
        addresses = [own.scheduler_address, *(worker.worker_address for worker in own.workers.values())]
        assert all(address.startswith("tcp://127.0.0.1:") for address in addresses)
        listening = [
            connection.laddr.ip
            for connection in psutil.Process().net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert set(listening) <= {"127.0.0.1"}
        monkeypatch.setattr("vizcore.__version__", "99.0")  # here, not in the worker
        with pytest.raises(EngineError, match=r"A worker has vizcore .*, this machine 99\.0"):
            Cluster(work, own.scheduler_address)
    finally:
        engine.close()


def command(out: Path, *more: str) -> list[str]:
    flags = ("--layers", "conv*", "--size", "16", "--steps", "30", "--pad", "0", "--set", "precision=fp32", "--exact")
    return [sys.executable, "-m", "vizcore", "atlas", nets.TINY, *flags, "--out", str(out), "--json", *more]


def test_after_kills_the_atlas_is_that_of_an_uninterrupted_job(tmp_path: Path) -> None:
    """Drivers are killed, then workers; what was there is not touched again, and the end is the same to the byte."""
    whole = uninterrupted(tmp_path / "other", steps=30)
    out = tmp_path / "atlas"
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    for number in range(KILLS):
        before = {path: path.stat() for path in out.glob("tiles/*/*")}
        job = subprocess.Popen(command(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert job.stderr is not None
        assert job.stdout is not None
        for line in job.stderr:
            if json.loads(line)["event"] == "tile":
                break
        time.sleep(moments.uniform(0, 0.4) if KILLS > 2 else 0)
        family = psutil.Process(job.pid).children(recursive=True) if job.poll() is None else []
        of_the_driver = number % 2 == 0
        for process in [psutil.Process(job.pid)] if of_the_driver and job.poll() is None else family:
            process.send_signal(signal.SIGKILL)
        job.communicate()
        psutil.wait_procs(family, 20)
        assert not [process for process in family if process.is_running()], "a worker outlived its driver"
        if not of_the_driver:
            assert job.returncode == 0, f"seed {seed}"
        for path, stat in before.items():
            assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
        if KILLS > 2 and nets.tiles(out).keys() == whole.keys():
            for path in moments.sample(sorted(out.glob("tiles/*/*")), 8):
                path.unlink()
    done = subprocess.run(command(out), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["failed"] == 0
    assert nets.tiles(out) == whole, f"seed {seed}"
    assert not list(out.glob("**/*.part"))


def test_ctrl_c_ends_the_job_and_keeps_what_is_finished(tmp_path: Path) -> None:
    job = subprocess.Popen(
        [*command(tmp_path), "--steps", "1000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert job.stderr is not None
    for line in job.stderr:
        if json.loads(line)["event"] == "tile":
            break
    job.send_signal(signal.SIGINT)
    out, _ = job.communicate(timeout=60)
    told = json.loads(out)
    assert (job.returncode, told["state"]) == (130, "interrupted")
    assert 1 <= told["done"] < 10
    known = {
        f"{unit['tile']}.png" for one in manifest.read_all(open_store(tmp_path)) for unit in one.units.values()
    }  # fmt: skip
    assert known <= set(nets.tiles(tmp_path))
    assert len(known) == told["done"]
