"""What is left after kills, and who can reach a cluster of ours."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.atlas import nets
from vizcore.atlas import manifest
from vizcore.atlas.cluster import Cluster
from vizcore.atlas.shard import TRIES
from vizcore.atlas.store import open_store
from vizcore.cli import main
from vizcore.errors import EngineError

KILLS = 20 if os.environ.get("VIZCORE_SLOW") == "1" else 4


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


class Driver:
    """The command in a process of its own, forked from one that has imported all that it needs: kills cost no imports.

    Its workers are begun as ever.
    """

    def __init__(self, arguments: list[str], told: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch", "vizcore.cli.atlas", "vizcore.ascent", "tests.atlas.nets"])
        told.write_bytes(b"")
        self.process = context.Process(target=drive, args=(arguments, str(told)))
        self.process.start()
        self._told = told.open()
        self._line = ""

    def next(self, *kinds: str) -> dict[str, Any] | None:
        """The next event of these kinds; None when the command has ended."""
        while True:
            alive = self.process.is_alive()
            self._line += self._told.readline()
            if self._line.endswith("\n"):
                event = json.loads(self._line) if self._line.startswith("{") else {}  # else a warning
                self._line = ""
                if event.get("event") in kinds:
                    return dict(event)
            elif not alive:
                return None
            else:
                time.sleep(0.003)

    def family(self) -> list[psutil.Process]:
        """Its workers, and what else it began."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def end(self) -> int | None:
        """Wait for it; how it ended."""
        self.process.join()
        self._told.close()
        return self.process.exitcode


def drive(arguments: list[str], told: str) -> None:
    """The command; its events go to a file."""
    os.dup2(os.open(told, os.O_WRONLY | os.O_APPEND), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(main(arguments))


class Killed:
    """An atlas whose jobs are killed: what is finished is not touched again."""

    def __init__(self, out: Path, data: Path, moments: random.Random, on_the_way: set[str]) -> None:
        self.out, self.moments, self.on_the_way = out, moments, on_the_way
        self.arguments = command(out, "--with", "all", "--data", str(data))[3:]
        self.events = out.with_suffix(".events")

    def files(self) -> list[Path]:
        """What is finished: neither what a kill left half written, nor what is written before its tile."""
        found = self.out.glob("[pt]*/*/[!.]*.*")
        return sorted(path for path in found if path.name not in self.on_the_way)

    def of_driver(self) -> int:
        """The driver is killed, while it begins or while tiles and parts come; its workers die with it."""
        before = self.begin()
        driver = Driver(self.arguments, self.events)
        if self.moments.random() < 0.5:
            time.sleep(self.moments.uniform(0, 2))
        else:
            driver.next("tile", "part")
            time.sleep(self.moments.uniform(0, 0.3))
        family = driver.family()
        killed = driver.process.is_alive()
        driver.process.kill()
        driver.end()
        psutil.wait_procs(family, 20)
        assert not [process for process in family if process.is_running()], "a worker outlived its driver"
        self.check(before)
        return int(killed)

    def of_workers(self, most: int) -> int:
        """Workers are killed one after the other; the job ends by itself, and well."""
        before = self.begin()
        driver = Driver([*self.arguments, "--workers", "2"], self.events)
        deaths: Counter[tuple[str, int]] = Counter()
        killed = 0
        while killed < most and max(deaths.values(), default=0) < TRIES - 1 and driver.next("tile", "part"):
            time.sleep(self.moments.uniform(0, 0.1))
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):  # it has just ended
                self.moments.choice(driver.family()).send_signal(signal.SIGKILL)
            lost = driver.next("lost")
            if lost is not None:
                killed += 1
                deaths.update((lost["layer"], channel) for channel in lost["channels"])
        assert driver.end() == 0
        self.check(before)
        return killed

    def begin(self) -> dict[Path, os.stat_result]:
        """Take some away of what is finished, so that there is something to do."""
        files = self.files()
        for path in self.moments.sample(files, len(files) // 2):
            path.unlink()
        return {path: path.stat() for path in self.files()}

    def check(self, before: dict[Path, os.stat_result]) -> None:
        for path, stat in before.items():
            assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


def test_after_kills_the_atlas_is_that_of_an_uninterrupted_job(tmp_path: Path) -> None:
    """Drivers are killed, then workers; what was there is not touched again, and the end is the same to the byte."""
    data = nets.pictures(tmp_path / "pictures.zip")
    work, network = nets.work_for(tmp_path / "other", steps=30, evidence=nets.beside(data))
    nets.run(work, network, nets.Inline(work))
    seed = random.randrange(10**6)
    out = tmp_path / "atlas"
    whole = nets.parts(tmp_path / "other")
    steps = {f"{name.removesuffix('.png')}.json" for name in nets.tiles(tmp_path / "other")}
    atlas = Killed(out, data, random.Random(seed), steps)
    drivers = workers = 0
    while drivers < KILLS // 2:
        drivers += atlas.of_driver()
    while workers < KILLS // 2:
        workers += atlas.of_workers(KILLS // 2 - workers)
    done = subprocess.run(
        [sys.executable, "-m", "vizcore", *atlas.arguments], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["failed"] == 0
    assert [count["failed"] for count in told["parts"].values()] == [0] * 4
    assert nets.tiles(out) == nets.tiles(tmp_path / "other"), f"seed {seed}"
    assert nets.parts(out) == whole, f"seed {seed}"
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
