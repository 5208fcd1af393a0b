"""What is left after kills, and who can reach a cluster of ours."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.atlas import nets
from vizcore.atlas import manifest
from vizcore.atlas.cluster import Cluster
from vizcore.atlas.store import open_store
from vizcore.errors import EngineError

KILLS = 20 if os.environ.get("VIZCORE_SLOW") == "1" else 2


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
    whole = nets.uninterrupted(tmp_path / "other", steps=30)
    out = tmp_path / "atlas"
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    for number in range(KILLS):
        before = {path: path.stat() for path in out.glob("tiles/*/[!.]*")}  # what a kill left half written goes
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
            for path in moments.sample(sorted(out.glob("tiles/*/[!.]*")), 8):
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
