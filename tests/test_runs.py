"""The library finds its runs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vizcore import spec as specs
from vizcore.errors import HistoryError, SpecError
from vizcore.runs import Library, is_id

SPEC = specs.build("digits", "conv1", (0, 1), size=16, steps=32)


def make(library: Library, steps: int = 2) -> str:
    run, writer = library.create(SPEC, weights_hash="ab", parent=("20260101-000000-abcdef", 7))
    with writer:
        for step in range(steps):
            images = np.full((2, 16, 16, 3), step, np.uint8)
            writer.add(step, images, np.zeros(2), np.zeros(2))
        writer.set_state("done")
    return run


def test_create_list_open_delete() -> None:
    library = Library()
    run = make(library)
    assert is_id(run)
    (info,) = library.list()
    assert (info.id, info.model, info.layer, info.channels) == (run, "digits", "conv1", (0, 1))
    assert (info.steps, info.state, info.parent) == (1, "done", ("20260101-000000-abcdef", 7))
    assert info.bytes > 0
    assert library.info(run) == info
    with library.open(run) as reader:
        assert reader.latest() == 1
    library.delete(run)
    assert library.list() == []
    assert list(library.folder.iterdir()) == []


@pytest.mark.parametrize(
    "run",
    [
        "", ".", "..", "../../etc/passwd", "20260101-000000-abcdef/..", "20260101-000000-abcde\0", "a" * 5000,
        "20260101-000000-ABCDEF", "20260101-000000-abcdef\n", "２０260101-000000-abcdef", "20260101-000000-abcdef",
        None, 3,
    ],
)  # fmt: skip
def test_no_such_run(run: object) -> None:
    library = Library()
    make(library)
    (library.home / "20260101-000000-abcdef.vizrun").touch()
    for ask in (library.path, library.open, library.info, library.delete):
        with pytest.raises(HistoryError) as caught:
            ask(run)  # type: ignore[operator]
        assert str(caught.value) == "There is no such run. See the list of runs."


def test_damaged_files_are_skipped_and_told() -> None:
    library = Library()
    run = make(library)
    for name, content in {"foreign": b"hello" * 999, "empty": b""}.items():
        (library.folder / f"20260101-000000-{name[:1] * 6}.vizrun").write_bytes(content)
    (library.folder / "notes.txt").write_text("mine")
    (library.folder / "20260101-000000-eeeeee.vizrun").write_bytes(library.path(run).read_bytes()[:20000])
    listing = library.scan()
    assert [info.id for info in listing.runs] == [run]
    assert set(listing.damaged) == {"20260101-000000-ffffff", "20260101-000000-eeeeee"}


def test_the_library_holds_run_files_only() -> None:
    library = Library()
    for _ in range(3):
        make(library)
    library.list()
    for info in library.list():
        library.open(info.id).close()
    assert {path.suffix for path in library.folder.iterdir()} == {".vizrun"}


def test_a_list_follows_what_is_written() -> None:
    library = Library()
    run, writer = library.create(SPEC)
    for step in range(3):
        writer.add(step, np.zeros((2, 16, 16, 3), np.uint8), np.zeros(2), np.zeros(2))
        writer.flush()
        assert library.info(run).steps == step
    writer.set_state("failed")
    writer.close()
    assert library.info(run).state == "failed"


def test_notes_and_pins() -> None:
    library = Library()
    run = make(library)
    library.annotate(run, note="<b>eyes</b>", pinned=True)
    assert (library.info(run).note, library.info(run).pinned) == ("<b>eyes</b>", True)
    library.annotate(run, pinned=False)
    assert (library.info(run).note, library.info(run).pinned) == ("<b>eyes</b>", False)
    with pytest.raises(SpecError, match="too long"):
        library.annotate(run, note="x" * 2001)
    assert library.pin(run, 1)
    assert not library.pin(run, 9)


def test_a_run_is_active_while_its_writer_lives() -> None:
    library = Library()
    run, writer = library.create(SPEC)
    assert library.info(run).active
    assert library.info(run).state == "running"
    with pytest.raises(HistoryError, match="still going on"):
        library.delete(run)
    with pytest.raises(HistoryError, match="being written"):
        type(writer).open(library.path(run))
    writer.close()
    assert not library.info(run).active
    assert library.info(run).state == "interrupted"


def test_over_quota_names_the_oldest_that_may_go(tmp_path: Path) -> None:
    library = Library(tmp_path)
    runs = sorted(make(library) for _ in range(4))
    library.annotate(runs[0], pinned=True)
    sizes = {info.id: info.bytes for info in library.list()}
    total = sum(sizes.values())
    assert library.over_quota(total) == []
    assert [info.id for info in library.over_quota(total - 1)] == [runs[1]]
    assert [info.id for info in library.over_quota(1)] == runs[1:]
    assert len(library.list()) == 4
