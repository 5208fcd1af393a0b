"""Names, pins, trash, forks and quota of the run library; the index and what is quick because of it."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vizcore import spec as specs
from vizcore.errors import HistoryError, SpecError
from vizcore.export import Recipe
from vizcore.history import Pin, schema
from vizcore.runs import Library, Listing

SPEC = specs.build("digits", "conv1", (0, 1), size=16, steps=32)


def make(library: Library, steps: int = 3, spec: specs.RunSpec = SPEC, root: tuple[str, int] | None = None) -> str:
    run, writer = library.create(spec, weights_hash="ab", parent=root, shared=0 if root else None)
    first = root[1] if root else 0
    with writer:
        for step in range(first, first + steps):
            images = np.full((len(spec.channels), 16, 16, 1), step, np.uint8)
            writer.add(step, images, np.full(len(spec.channels), step), np.zeros(len(spec.channels)))
        writer.set_state("done")
    return run


def test_names_search_and_sort() -> None:
    library = Library()
    one = make(library)
    two = make(library, 5, SPEC.replace(layer="conv2", seed=7))
    library.annotate(one, name="  Eyes\n of owls ", note="look again")
    assert library.info(one).name == "Eyes of owls"
    assert [info.id for info in library.search("OWLS again")] == [one]
    assert [info.id for info in library.search("conv2 seed 7")] == [two]
    assert library.search("owls conv2") == []
    assert [info.id for info in library.search(sort="steps", descending=False)] == [one, two]
    with pytest.raises(SpecError, match="sorted"):
        library.search(sort="colour")
    with pytest.raises(SpecError, match="name is too long"):
        library.annotate(one, name="x" * 121)


def kept(library: Library, run: str) -> dict[int, int]:
    """Why the pictures of each step are kept."""
    with library.open(run) as reader:
        return dict(reader._rows("SELECT step, kept FROM picture"))


def test_pins_are_of_a_filter_or_of_all_with_notes_and_can_be_taken_away() -> None:
    library = Library()
    parent = make(library, 6)
    child = make(library, 2, SPEC.replace(channels=(1,)), root=(parent, 4))
    assert library.pin(parent, 1, "the first <eye>")
    assert library.pin(parent, 1, "an owl", 1)
    assert library.pin(parent, 3, "of 0", 0)
    assert library.pin(child, 2, "from above", 1)
    assert not library.pin(parent, 99)
    for run, channel in ((parent, 2), (child, 0)):
        with pytest.raises(SpecError, match=f"no filter {channel}"):
            library.pin(run, 1, "", channel)
    with library.open(parent) as old, library.open(child) as new:
        first = [Pin(1, None, "the first <eye>"), Pin(1, 1, "an owl")]
        assert old.pins() == [*first, Pin(3, 0, "of 0")]
        assert new.pins() == [*first, Pin(2, 1, "from above")]  # that of filter 0 is not its own
    assert library.pin(parent, 1, "two owls", 1)
    assert library.unpin(parent, 1)
    assert not library.unpin(parent, 1)
    with library.open(child) as new:
        assert new.pins() == [Pin(1, 1, "two owls"), Pin(2, 1, "from above")]


def test_pictures_stay_as_long_as_any_pin_keeps_them() -> None:
    library = Library()
    parent = make(library, 6)
    child = make(library, 2, root=(parent, 4))
    for run, channel in ((parent, None), (parent, 1), (child, 1)):
        assert library.pin(run, 2, "", channel)
    for run, channel in ((parent, None), (parent, 1)):
        assert library.unpin(run, 2, channel)
        assert kept(library, parent)[2] == schema.PINNED
    assert library.unpin(child, 2, 1)
    assert kept(library, parent)[2] == schema.ALWAYS  # one of the first steps


def test_a_deleted_run_can_be_taken_back_and_is_gone_after_cleaning() -> None:
    library = Library()
    run = make(library)
    before = library.path(run).read_bytes()
    assert library.delete(run) == [run]
    assert library.list() == []
    assert list(library.trash()) == [run]
    assert library.restore(run) == [run]
    assert library.path(run).read_bytes() == before
    with pytest.raises(HistoryError, match="not in the trash"):
        library.restore(run)
    library.delete(run)
    plan = library.cleaning()
    assert (list(plan.trash), plan.runs, plan.freed) == ([run], [], len(before))
    library.clean(plan)
    assert library.trash() == {}
    assert list(library.folder.iterdir()) == []


def test_a_damaged_run_can_be_deleted() -> None:
    library = Library()
    run = make(library)
    library.path(run).write_bytes(b"nonsense" * 400)
    library.delete(run)
    assert library.scan() == Listing()


def test_a_run_with_forks_is_not_deleted_without_saying_so() -> None:
    library = Library()
    top = make(library, 6)
    middle = make(library, 6, root=(top, 4))
    leaf = make(library, 3, root=(middle, 7))
    other = make(library, 2, root=(top, 1))
    assert [info.id for info in library.forks(top)] == [*sorted((middle, other), key=lambda r: r), leaf]
    with pytest.raises(HistoryError, match="3 forks show"):
        library.delete(top)
    with pytest.raises(HistoryError, match="A fork shows"):
        library.delete(middle)
    assert len(library.list()) == 4
    assert set(library.delete(top, forks=True)) == {top, middle, leaf, other}
    assert library.list() == []
    assert library.restore(leaf) == [leaf, middle, top]  # what a run needs comes back with it
    with library.open(leaf) as reader:
        assert reader.steps().tolist() == list(range(10))


def test_a_fork_whose_parent_is_gone_has_its_own_steps() -> None:
    library = Library()
    top = make(library, 6)
    leaf = make(library, 3, root=(top, 4))
    library.path(top).unlink()
    with library.open(leaf) as reader:
        assert reader.steps().tolist() == [4, 5, 6]
        assert reader.frames(2) == []
        assert reader.scores()[0].tolist() == [4, 5, 6]
        with pytest.raises(HistoryError, match="not there any more"):
            reader.owner(2)


def test_a_run_that_is_its_own_ancestor_is_damaged() -> None:
    library = Library()
    top = make(library, 6)
    leaf = make(library, 3, root=(top, 4))
    from vizcore.history import entries, schema

    with schema.editing(library.path(top)) as connection:
        entries.Meta("parent", json.dumps([leaf, 5])).apply(connection)
        entries.Meta("shared", "0").apply(connection)
    with library.open(leaf) as reader, pytest.raises(HistoryError, match="damaged"):
        reader.steps()


def test_what_a_rolled_back_parent_made_anew_is_missing_in_its_fork() -> None:
    library = Library()
    top = make(library, 10)
    leaf = make(library, 3, root=(top, 8))
    with library.open(leaf) as reader:
        assert (reader.steps().tolist(), reader.revision) == (list(range(11)), 0)
        with type(library.create(SPEC)[1]).open(library.path(top)) as writer:
            writer.rewind(5)
            for step in range(6, 10):
                writer.add(step, np.full((2, 16, 16, 1), 99, np.uint8), np.full(2, 99), np.zeros(2))
        assert reader.steps().tolist() == [*range(6), 8, 9, 10]
        assert reader.frames(6) == []
        assert reader.scores()[0].tolist() == [*range(6), 8, 9, 10]
        assert reader.revision == 1
        with pytest.raises(HistoryError, match="not there any more"):
            reader.owner(7)
        assert reader.owner(5).path == library.path(top)


def test_over_quota_names_a_parent_only_after_its_forks() -> None:
    library = Library()
    top = make(library)
    lone = make(library)
    leaf = make(library, root=(top, 2))
    named = [info.id for info in library.over_quota(1)]
    assert sorted(named) == sorted((top, lone, leaf))
    assert named.index(leaf) < named.index(top)
    library.annotate(leaf, pinned=True)
    plan = library.cleaning(1)
    assert [info.id for info in plan.runs] == [lone]
    library.clean(plan)
    assert {info.id for info in library.list()} == {top, leaf}


def test_the_index_is_only_a_memory(home: Path) -> None:
    library = Library()
    ids = [make(library) for _ in range(3)]
    assert len(library.list()) == 3
    index = home / "index.json"
    lines = json.loads(index.read_text())["runs"]
    assert {line[4] for line in lines} == set(ids)
    assert Library().scan() == library.scan()
    library.annotate(ids[0], note="new")
    assert Library().info(ids[0]).note == "new"
    assert next(info for info in Library().list() if info.id == ids[0]).note == "new"
    for junk in ("", "[]", "{", '{"index": 2, "names": [], "runs": 3}', index.read_text().replace("done", "d")[:-9]):
        index.write_text(junk)
        assert len(Library().list()) == 3


def test_thumbnails() -> None:
    library = Library()
    run = make(library, 3)
    with Image.open(io.BytesIO(library.thumbnail(run, 8))) as picture:
        assert picture.size == (8, 8)
        assert abs(np.asarray(picture).mean() - 2) < 2
    empty, writer = library.create(SPEC)
    writer.close()
    with pytest.raises(HistoryError, match="no picture"):
        library.thumbnail(empty)


def test_the_run_of_a_picture_is_found() -> None:
    library = Library()
    one = make(library)
    two = make(library)
    newest = max(one, two)
    assert library.find(Recipe(SPEC, 1, extra={"run": one}, weights_hash="ab")) == one
    assert library.find(Recipe(SPEC, 1, extra={"run": "../../etc"}, weights_hash="ab")) == newest
    assert library.find(Recipe(SPEC, 1, extra={"run": ["x"]})) == newest
    assert library.find(Recipe(SPEC, 9)) is None
    assert library.find(Recipe(SPEC, 1, weights_hash="cd")) is None
    assert library.find(Recipe(SPEC.replace(seed=3), 1)) is None
    assert library.find(Recipe(SPEC, 1, ((0, "rate", 0.5),), extra={"run": one})) is None


@pytest.mark.slow
def test_two_thousand_runs_are_listed_at_once(tmp_path: Path) -> None:
    library = Library(tmp_path)
    content = library.path(make(library)).read_bytes()
    for number in range(2000):
        (library.folder / f"20260101-000000-{number:06x}.vizrun").write_bytes(content)
    assert len(library.list()) == 2001
    begin = time.perf_counter()
    assert len(Library(tmp_path).list()) == 2001
    assert time.perf_counter() - begin < 2  # on a busy machine; benchmarks measure the 0.3 s
