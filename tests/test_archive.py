"""Runs that travel to another library: whole, never over another, and none of it if something is wrong."""

from __future__ import annotations

import errno
import io
import json
import os
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vizcore import archive
from vizcore import spec as specs
from vizcore.errors import ExportError, HistoryError, StorageError, VizcoreError
from vizcore.history import RunReader
from vizcore.runs import Library

SPEC = specs.build("digits", "conv1", (0, 1), size=16, steps=32)


def make(library: Library, steps: int = 3, root: tuple[str, int] | None = None, seed: int = 0) -> str:
    run, writer = library.create(SPEC.replace(seed=seed), weights_hash="ab", parent=root, shared=0 if root else None)
    first = root[1] if root else 0
    with writer:
        for step in range(first, first + steps):
            images = np.random.default_rng(step + seed).integers(0, 256, (2, 16, 16, 1), np.uint8)
            writer.add(step, images, np.full(2, step + seed), np.zeros(2))
        writer.checkpoint(first, {"a": np.ones(3)})
        writer.set_state("done")
    return run


@pytest.fixture
def here(tmp_path: Path) -> Library:
    return Library(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Library:
    return Library(tmp_path / "there")


def everything(reader: RunReader) -> object:
    frames = {step: reader.frames(step) for step in reader.steps().tolist()}
    return frames, [column.tolist() for column in reader.scores()], reader.knobs(), reader.spec


def test_forks_bring_their_parents_and_are_the_same_elsewhere(here: Library, there: Library, tmp_path: Path) -> None:
    top = make(here, 6)
    middle = make(here, 6, (top, 4))
    leaf = make(here, 3, (middle, 8))
    make(here, seed=9)
    told: list[tuple[int, int]] = []
    out = tmp_path / "runs.zip"
    assert archive.save(out, here, [leaf], lambda *at: told.append(at)) == [top, middle, leaf]
    assert told
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert [(item.id, item.new) for item in archive.load(out, there)] == [(top, True), (middle, True), (leaf, True)]
    for run in (top, middle, leaf):
        with here.open(run) as one, there.open(run) as other:
            assert everything(one) == everything(other)
    assert there.info(leaf).parent == (middle, 8)
    before = {path: path.read_bytes() for path in there.folder.iterdir()}
    assert [(item.id, item.new) for item in archive.load(out, there)] == [(top, False), (middle, False), (leaf, False)]
    assert {path: path.read_bytes() for path in there.folder.iterdir()} == before


def test_a_run_that_goes_on_is_exported_as_it_is(here: Library, there: Library, tmp_path: Path) -> None:
    run, writer = here.create(SPEC)
    with writer:
        for step in range(5):
            writer.add(step, np.full((2, 16, 16, 1), step, np.uint8), np.zeros(2), np.zeros(2))
        writer.flush()
        archive.save(tmp_path / "a.zip", here, [run])
    archive.load(tmp_path / "a.zip", there)
    assert (there.info(run).steps, there.info(run).state) == (4, "interrupted")


def test_another_run_of_that_id_gets_a_new_one_and_its_forks_follow(
    here: Library, there: Library, tmp_path: Path
) -> None:
    top = make(here, 6)
    leaf = make(here, 3, (top, 4))
    archive.save(tmp_path / "a.zip", here, [leaf])
    other = make(there, 4, seed=5)
    there.path(other).rename(there.folder / f"{top}.vizrun")
    with there.open(top) as reader:
        before = everything(reader)
    first, second = archive.load(tmp_path / "a.zip", there)
    assert (first.was, first.new, second.id) == (top, True, leaf)
    assert first.id != top
    with there.open(top) as reader:
        assert everything(reader) == before
    assert there.info(leaf).parent == (first.id, 4)
    with there.open(leaf) as one, here.open(leaf) as two:
        assert everything(one) == everything(two)


def test_notes_pins_and_recomputed_pictures_make_no_other_run(here: Library, there: Library, tmp_path: Path) -> None:
    run = make(here)
    archive.save(tmp_path / "a.zip", here, [run])
    archive.load(tmp_path / "a.zip", there)
    there.annotate(run, name="Mine", note="x", pinned=True)
    there.pin(run, 1, "this")
    assert [item.new for item in archive.load(tmp_path / "a.zip", there)] == [False]
    assert there.info(run).name == "Mine"


def test_a_single_run_file_can_be_imported(here: Library, there: Library, tmp_path: Path) -> None:
    run = make(here)
    assert [item.id for item in archive.load(here.path(run), there)] == [run]
    copy = tmp_path / "my run.vizrun"
    copy.write_bytes(here.path(run).read_bytes())
    [item] = archive.load(copy, there)
    assert item.new
    assert item.id != run
    assert len(there.list()) == 2


def repacked(data: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        members = {name: source.read(name) for name in source.namelist()}
    change(members)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for name, content in members.items():
            target.writestr(name, content)
    return stream.getvalue()


def manifest(**changes: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        data = json.loads(members["manifest.json"])
        for key, value in changes.items():
            if key == "version":
                data["vizcore-archive"] = value
            elif key == "runs":
                data["runs"] = value
            else:
                data["runs"][0][key] = value
        members["manifest.json"] = json.dumps(data).encode()

    return change


def other_content(edit: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes]], None]:
    """The run file with another content, and a manifest that fits it."""

    def change(members: dict[str, bytes]) -> None:
        import hashlib

        name = next(name for name in members if name.endswith(".vizrun"))
        members[name] = edit(members[name])
        manifest(bytes=len(members[name]), sha256=hashlib.sha256(members[name]).hexdigest())(members)

    return change


def with_sql(tmp_path: Path, *statements: str) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        path = tmp_path / "edited"
        path.write_bytes(data)
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()
        return path.read_bytes()

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        "nothing", "text", "cut", "zip", "manifest", "newer", "no runs", "too few", "evil id", "evil name", "sha",
        "size", "deflated", "foreign", "short", "forged ancestors", "newer run", "trigger", "bad spec", "twice",
    ],
)  # fmt: skip
def test_what_is_refused_leaves_the_library_as_it_was(
    here: Library, there: Library, tmp_path: Path, damage: str
) -> None:
    run = make(here, 20)
    mine = make(there)
    out = tmp_path / "a.zip"
    archive.save(out, here, [run])
    data = out.read_bytes()
    trigger = "CREATE TRIGGER t AFTER INSERT ON step BEGIN DELETE FROM frame; END"
    bad = {
        "nothing": lambda: b"",
        "text": lambda: b"hello" * 1000,
        "cut": lambda: data[: len(data) // 2],
        "zip": lambda: repacked(data, lambda members: members.pop("manifest.json")),  # type: ignore[arg-type,return-value]
        "manifest": lambda: repacked(data, lambda members: members.update({"manifest.json": b"[" * 10**5})),
        "newer": lambda: repacked(data, manifest(version=2)),
        "no runs": lambda: repacked(data, manifest(runs=[])),
        "too few": lambda: repacked(data, manifest(runs=3)),
        "evil id": lambda: repacked(data, manifest(id="../../evil", file="runs/../../evil.vizrun")),
        "evil name": lambda: repacked(data, manifest(file="/etc/passwd")),
        "sha": lambda: repacked(data, manifest(sha256="0" * 64)),
        "size": lambda: repacked(data, manifest(bytes=10**15)),
        "deflated": lambda: _deflated(data),
        "foreign": lambda: repacked(data, other_content(lambda content: b"SQLite format 3\0" + b"\0" * 5000)),
        "short": lambda: repacked(data, other_content(lambda content: content[: len(content) * 2 // 3])),
        "forged ancestors": lambda: repacked(
            data, other_content(with_sql(tmp_path, "INSERT OR REPLACE INTO meta VALUES ('above', '[3]')"))
        ),
        "newer run": lambda: repacked(data, other_content(with_sql(tmp_path, "PRAGMA user_version = 9"))),
        "trigger": lambda: repacked(data, other_content(with_sql(tmp_path, trigger))),
        "bad spec": lambda: repacked(
            data, other_content(with_sql(tmp_path, "UPDATE meta SET value = '{\"size\": 1e9}' WHERE key = 'spec'"))
        ),
        "twice": lambda: repacked(data, lambda m: manifest(runs=json.loads(m["manifest.json"])["runs"] * 2)(m)),
    }[damage]()
    out.write_bytes(bad)
    before = {path: path.read_bytes() for path in there.folder.iterdir()}
    with pytest.raises((ExportError, HistoryError)) as caught:
        archive.load(out, there)
    assert caught.value.hint
    assert str(tmp_path) not in str(caught.value)
    assert {path: path.read_bytes() for path in there.folder.iterdir()} == before
    assert [info.id for info in there.list()] == [mine]


def _deflated(data: bytes) -> bytes:
    """As a bomb would be packed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return stream.getvalue()


def test_ctrl_c_and_full_disks_leave_nothing(
    here: Library, there: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(here, 20)
    out = tmp_path / "a.zip"

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archive.save(out, here, [run], interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "home"] or not out.exists()
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]
    archive.save(out, here, [run])
    with pytest.raises(KeyboardInterrupt):
        archive.load(out, there, interrupt)
    assert list(there.folder.iterdir()) == []

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(StorageError, match="disk is full"):
            archive.load(out, there)
        with pytest.raises(ExportError, match="disk is full"):
            archive.save(out, here, [run])
    assert list(there.folder.iterdir()) == []
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("U", (), {"free": 10})())
    with pytest.raises(StorageError, match="not enough space"):
        archive.load(out, there)
    assert list(there.folder.iterdir()) == []


def test_unknown_runs_are_not_exported(here: Library, tmp_path: Path) -> None:
    for names in (["20260101-000000-abcdef"], ["../../etc/passwd"], []):
        with pytest.raises(VizcoreError):
            archive.save(tmp_path / "a.zip", here, names)
    assert not (tmp_path / "a.zip").exists()
