"""A run file that version 1 wrote is read as it is, and becomes one of this version when it is written."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from samples import pictures

from vizcore import archive
from vizcore.history import Pin, RunReader, RunWriter, decode, schema
from vizcore.runs import Library

OLD = gzip.decompress((Path(__file__).parent / "version-1.vizrun.gz").read_bytes())
RUN = "20260101-000000-abcdef"
PINS = [Pin(3, None, "rings <b>"), Pin(5, None, "")]


@pytest.fixture
def library(home: Path) -> Library:
    """With a file of version 1: filters 4, 0, 7, steps 0 to 8, two pins."""
    found = Library(home)
    found.folder.mkdir(parents=True)
    (found.folder / f"{RUN}{schema.SUFFIX}").write_bytes(OLD)
    return found


def version(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[60:64], "big")  # of the database header


def check(reader: RunReader, pins: list[Pin]) -> None:
    """All that was in the file is in it."""
    assert reader.pins() == pins
    assert reader.steps().tolist() == list(range(9))
    assert reader.knobs() == [(4, "rate", 0.1)]
    assert reader.checkpoints() == [4]
    assert reader.scores()[1][:, 1].tolist() == list(range(1, 10))
    for frame, image in zip(reader.frames(6), pictures(6), strict=True):
        assert np.array_equal(decode(frame), image)


def test_reading_changes_nothing(library: Library) -> None:
    path = library.path(RUN)
    with library.open(RUN) as reader:
        check(reader, PINS)
    assert library.info(RUN).state == "done"
    assert path.read_bytes() == OLD
    assert version(path) == 1


def test_writing_brings_it_to_this_version(library: Library) -> None:
    path = library.path(RUN)
    with library.open(RUN) as reader:  # who reads meanwhile goes on reading
        assert library.pin(RUN, 3, "of one", 7)
        check(reader, [PINS[0], Pin(3, 7, "of one"), PINS[1]])
        assert "pins" not in reader.meta
    assert library.unpin(RUN, 5)
    with library.open(RUN) as reader:
        check(reader, [PINS[0], Pin(3, 7, "of one")])
        assert reader._rows("SELECT kept FROM picture WHERE step = 5") == [(schema.ALWAYS,)]
    library.open(RUN).close()
    assert version(path) == schema.VERSION == 2


def test_a_run_goes_on_in_it(library: Library) -> None:
    with RunWriter.open(library.path(RUN)) as writer:
        writer.add(9, pictures(9), np.zeros(3), np.zeros(3))
    with library.open(RUN) as reader:
        assert reader.pins() == PINS
        assert reader.latest() == 9


def test_it_can_be_imported_and_exported(library: Library, tmp_path: Path) -> None:
    archive.save(tmp_path / "a.zip", library, [RUN])
    other = Library(tmp_path / "other")
    assert [item.new for item in archive.load(tmp_path / "a.zip", other)] == [True]
    with other.open(RUN) as reader:
        check(reader, PINS)
    assert [item.new for item in archive.load(library.path(RUN), other)] == [False]


@pytest.mark.parametrize("told", ["[1]", "{", '{"a": 1}', "3"])
def test_pins_that_are_none_are_damage(library: Library, tmp_path: Path, told: str) -> None:
    import sqlite3
    from contextlib import closing

    from vizcore.errors import HistoryError

    path = tmp_path / f"{RUN}{schema.SUFFIX}"
    shutil.copy(library.path(RUN), path)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE meta SET value = ? WHERE key = 'pins'", (told,))
    with RunReader(path) as reader, pytest.raises(HistoryError, match="damaged"):
        reader.pins()
    with pytest.raises(HistoryError, match="damaged"), schema.editing(path):
        pass
    assert version(path) == 1
