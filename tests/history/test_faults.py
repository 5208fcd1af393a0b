"""Full disks, damaged files, killed writers: the run goes on, nothing committed is lost, nobody sees a traceback."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import fill, pictures, spec

from vizcore.errors import HistoryError, StorageError
from vizcore.history import RunReader, RunWriter, decode


@contextmanager
def refusing(writer: RunWriter, pragma: str, undo: str) -> Iterator[None]:
    """Within, the writer's disk takes nothing."""
    connection = writer._journal._connection
    connection.execute(pragma)
    yield
    connection.execute(undo)


@pytest.mark.parametrize(
    ("pragma", "undo", "words"),
    [
        ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", "disk is full"),
        ("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "cannot be written"),
    ],
)
def test_a_full_disk_pauses_history_and_space_resumes_it(tmp_path: Path, pragma: str, undo: str, words: str) -> None:
    path = tmp_path / "a.vizrun"
    with RunWriter.create(path, spec(steps=200)) as writer:
        fill(writer, range(10))
        writer.flush()
        with refusing(writer, pragma, undo):
            fill(writer, range(10, 120))
            writer.knob(119, "rate", 0.5)
            writer.checkpoint(119, {"image": np.ones(3)})
            writer.flush()
            assert isinstance(writer.error, StorageError)
            assert words in str(writer.error)
            with RunReader(path) as reader:
                assert reader.latest() == 9
            fill(writer, range(120, 130))
        writer.flush()
        assert writer.error is None
        fill(writer, range(130, 140))
    with RunReader(path) as reader:
        assert reader.scores()[0].tolist() == list(range(140))
        steps = set(reader.steps().tolist())
        assert steps >= {*range(32), 119, *range(130, 140)}
        for step in steps:
            np.testing.assert_array_equal(np.stack([decode(f) for f in reader.frames(step)]), pictures(step))
        assert reader.knobs() == [(119, "rate", 0.5)]
        assert reader.checkpoints() == [119]


def test_a_disk_that_stays_full_does_not_hold_up_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.vizrun"
    writer = RunWriter.create(path, spec())
    fill(writer, range(5))
    writer.flush()
    writer._journal._connection.execute("PRAGMA query_only = ON")
    fill(writer, range(5, 50))
    start = time.monotonic()
    writer.close()
    assert time.monotonic() - start < 10
    assert isinstance(writer.error, StorageError)
    with RunReader(path) as reader:
        assert reader.steps().tolist() == list(range(5))


def test_waiting_memory_is_bounded_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizcore.history.journal.BACKLOG", 20_000)
    writer = RunWriter.create(tmp_path / "a.vizrun", spec(steps=3))  # every step from 3 on is precious
    with writer, refusing(writer, "PRAGMA query_only = ON", "PRAGMA query_only = OFF"):
        fill(writer, range(100))
        for step in range(10):
            writer.checkpoint(step, {"a": np.zeros(100)})
        writer._journal.flush()
        assert sum(entry.size for entry in writer._journal._backlog) <= 20_000
        assert writer._journal._waiting == 0


def test_folder_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        RunWriter.create(tmp_path / "file" / "a.vizrun", spec())
    assert str(tmp_path) not in str(caught.value)


def test_foreign_newer_and_absent_files(tmp_path: Path) -> None:
    path = tmp_path / "a.vizrun"
    with RunWriter.create(path, spec()) as writer:
        fill(writer, range(3))
    with pytest.raises(HistoryError, match="already"):
        RunWriter.create(path, spec())
    with pytest.raises(HistoryError, match="no such run"):
        RunReader(tmp_path / "b.vizrun")
    with pytest.raises(HistoryError, match="no such run"):
        RunReader(tmp_path)
    for content in (b"", b"hello" * 1000, b"SQLite format 3\0" + b"\0" * 4096):
        (tmp_path / "c.vizrun").write_bytes(content)
        with pytest.raises(HistoryError):
            RunReader(tmp_path / "c.vizrun")
        with pytest.raises(HistoryError):
            RunWriter.open(tmp_path / "c.vizrun")
    with closing(sqlite3.connect(tmp_path / "d.vizrun")) as other:
        other.execute("CREATE TABLE meta (key, value)")
    with pytest.raises(HistoryError, match="no run file"):
        RunReader(tmp_path / "d.vizrun")
    with closing(sqlite3.connect(path)) as ours:
        text = ours.execute("SELECT value FROM meta WHERE key = 'spec'").fetchone()[0]
        ours.execute("UPDATE meta SET value = ? WHERE key = 'spec'", (json.dumps({**json.loads(text), "schema": 2}),))
        ours.commit()
        with pytest.raises(HistoryError, match="newer"):
            RunReader(path)
        ours.execute("PRAGMA user_version = 3")
    with pytest.raises(HistoryError, match="newer"):
        RunReader(path)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "a.vizrun"
    with RunWriter.create(path, spec()) as writer:
        fill(writer, range(40))
        writer.knob(5, "rate", 0.5)
        writer.checkpoint(20, {"image": np.ones(30)})
    return path


def read_all(path: Path) -> None:
    with RunReader(path) as reader:
        _ = reader.meta, reader.state, reader.latest(), reader.scores(), reader.statuses(), reader.knobs()
        reader.checkpoint_at(30)
        for step in reader.steps().tolist():
            for frame in reader.frames(step):
                decode(frame)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_damage_is_a_history_error_or_goes_unnoticed(
    healthy: Path, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    data = bytearray(healthy.read_bytes())
    for _ in range(chance.randint(1, 20)):
        at = chance.randrange(200) if chance.random() < 0.2 else chance.randrange(len(data))
        data[at : at + 16] = chance.randbytes(min(16, len(data) - at))
    if chance.random() < 0.3:
        del data[chance.randrange(len(data)) :]
    path = tmp_path_factory.mktemp("damaged") / "a.vizrun"
    path.write_bytes(bytes(data))
    with contextlib.suppress(HistoryError):
        read_all(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_cut_short_is_told(healthy: Path, tmp_path: Path, share: float) -> None:
    data = healthy.read_bytes()
    (tmp_path / "a.vizrun").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(HistoryError, match="damaged"):
        RunReader(tmp_path / "a.vizrun")


CHILD = """
import sys
import numpy as np
from samples import fill
from vizcore.history import RunWriter
writer = RunWriter.open(sys.argv[1])
step = int(sys.argv[2])
while True:
    fill(writer, range(step, step + 1))
    writer.checkpoint(step, {"image": np.full(1000, step)})
    if step % 7 == 0:
        writer.knob(step, "rate", step / 1e4)
    writer._journal.flush()
    print(step, flush=True)  # from here on, this step is promised
    step += 1
"""


def test_killed_writers_lose_nothing_committed(tmp_path: Path) -> None:
    path = tmp_path / "a.vizrun"
    RunWriter.create(path, spec(steps=8192)).close()
    chance = random.Random(20261120)
    begin = 0
    for _ in range(5):
        command = [sys.executable, "-c", CHILD, str(path), str(begin)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(chance.uniform(0.01, 0.3))
            os.kill(child.pid, signal.SIGKILL)
            promised = int((child.stdout.read().split() or [begin])[-1])
        with RunReader(path) as reader:
            newest = reader.latest()
            assert newest is not None
            assert newest >= promised
            assert reader.steps().tolist() == list(range(newest + 1))
            assert reader.scores()[0].tolist()[: newest + 1] == list(range(newest + 1))
            for step in range(begin, newest + 1):
                np.testing.assert_array_equal(np.stack([decode(f) for f in reader.frames(step)]), pictures(step))
            step, arrays = reader.checkpoint_at(promised)
            assert step == promised
            assert (arrays["image"] == step).all()
        begin = newest + 1
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
