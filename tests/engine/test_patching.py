"""Real pictures in the engine's process: the pass of ``vizcore top``, its tiles and patches, and what they say."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
from engine_helpers import TIMEOUT, in_state, tiny, until
from PIL import Image

from vizcore.engine import Engine, Place
from vizcore.engine.works import Works
from vizcore.errors import LayerError, PictureError
from vizcore.history import decode
from vizcore.look import naturals
from vizcore.look.collections import collect
from vizcore.look.display import relevance
from vizcore.look.patches import patches
from vizcore.look.pictures import fit
from vizcore.look.tally import Tally
from vizcore.look.units import Unit
from vizcore.runs import Library
from vizcore.zoo.load import load

COUNT = 30
LAYER = "conv2"


@pytest.fixture(scope="module")
def engine(library: Library) -> Iterator[Engine]:
    """One whose records lie beside its runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIZCORE_HOME", str(library.home))
        with Engine(library, device="cpu") as made:
            made.ready.result(TIMEOUT)
            yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty noise pictures of two classes, and a broken one."""
    made = tmp_path_factory.mktemp("pictures")
    for i in range(COUNT):
        (made / "ab"[i % 2]).mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (30, 34, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((60, 68)).save(made / "ab"[i % 2] / f"{i:02}.png")
    (made / "a" / "broken.png").write_bytes(b"nothing")
    return made


@pytest.fixture(scope="module")
def place(folder: Path) -> Place:
    return Place("digits", None, LAYER, str(folder))


@pytest.fixture
def tally(folder: Path) -> Tally:
    """The same in this process."""
    made = Tally(load("digits"), collect(folder), LAYER, keep=False)
    made.run()
    return made


def test_a_pass_gives_the_records_of_a_tally(engine: Engine, place: Place, tally: Tally) -> None:
    told = engine.scan(place).result(TIMEOUT)
    assert told == {"done": COUNT + 1, "pictures": COUNT + 1, "skipped": 1}
    seen = engine.scanned(place).result(TIMEOUT)
    assert (seen["done"], seen["skipped"], list(seen["broken"])) == (COUNT + 1, 1, ["a/broken.png"])
    assert seen["classes"] == ["a", "b"]
    record = tally.record
    np.testing.assert_allclose(np.frombuffer(seen["highest"], "<f4"), record.values[:, 0], rtol=1e-4, atol=1e-5)
    items = np.frombuffer(seen["items"], "<i4").reshape(-1, seen["places"])
    assert (items[:, 0] == record.items[:, 0]).mean() > 0.9  # threads add in another order: near ties may swap
    index, _ = record.selectivity()
    np.testing.assert_allclose(np.frombuffer(seen["selectivity"], "<f4"), index, atol=1e-3)
    assert seen["field"] == tally.layer.receptive_field
    known = engine.known("digits", LAYER).result(TIMEOUT)
    assert (known[0]["source"], known[0]["done"], known[0]["pictures"]) == (place.source, COUNT + 1, COUNT + 1)
    assert engine.known("digits", "conv1").result(TIMEOUT) == []
    assert engine.known().result(TIMEOUT) == known


def test_patches_come_with_deconvolutions_and_their_files(engine: Engine, place: Place, tally: Tally) -> None:
    engine.scan(place).result(TIMEOUT)
    told = engine.top(place, 3).result(TIMEOUT)
    wanted = patches(tally, 3)
    assert len(told["patches"]) == 9
    for one, mine in zip(told["patches"], wanted, strict=True):
        assert one["name"] == mine.name
        assert one["value"] == pytest.approx(mine.value, rel=1e-4)
        assert one["reproduced"] == pytest.approx(one["value"], rel=1e-4)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(one["pixels"]))), mine.pixels)
        assert mine.projection is not None
        shown = np.asarray(Image.open(io.BytesIO(one["projection"]))).astype(int)
        assert np.abs(shown - relevance(mine.projection)).max() <= 3
    assert sum(told["histogram"]) == tally.record.total
    tile = Image.open(io.BytesIO(engine.tile(place, 3).result(TIMEOUT)))
    assert (tile.format, tile.mode) == ("WEBP", "RGBA")
    first = np.asarray(tile.convert("RGB").crop((8, 8, 56, 56))).astype(float).mean((0, 1))
    centre = wanted[0].pixels.astype(float)
    assert np.abs(first - centre.mean((0, 1))).max() < 40
    name = told["patches"][0]["name"]
    file = engine.original(place.source, "", name).result(TIMEOUT)
    assert (file["data"], file["type"]) == ((Path(place.source) / name).read_bytes(), "image/png")


def test_what_cannot_be_is_refused(engine: Engine, place: Place, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="no pictures in this folder"):
        engine.scan(Place("digits", None, LAYER, str(tmp_path))).result(TIMEOUT)
    with pytest.raises(PictureError, match="not there"):
        engine.scanned(Place("digits", None, LAYER, str(tmp_path / "none"))).result(TIMEOUT)
    with pytest.raises(LayerError):
        engine.scan(Place("digits", None, "conv9", place.source)).result(TIMEOUT)
    with pytest.raises(LayerError, match="no filter 999"):
        engine.tile(place, 999).result(TIMEOUT)
    with pytest.raises(LayerError, match="no filter 999"):
        engine.top(place, 999).result(TIMEOUT)
    for name in ("../secret.png", "/etc/passwd", "a/none.png", "a/broken.png"):
        with pytest.raises(PictureError):
            engine.original(place.source, "", name).result(TIMEOUT)
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(PictureError, match="Not one"):
        engine.scan(Place("digits", None, LAYER, str(tmp_path))).result(TIMEOUT)


def test_a_pass_is_given_up_goes_on_and_lets_others_have_turns(
    engine: Engine, library: Library, tmp_path: Path, folder: Path
) -> None:
    for copy in range(20):
        for path in folder.glob("?/[0-9]*.png"):
            (tmp_path / f"{copy}-{path.name}").write_bytes(path.read_bytes())
    place = Place("digits", None, LAYER, str(tmp_path))
    run = engine.begin(tiny()).result(TIMEOUT)
    engine.watch(run, "test")
    in_state(engine, run, "running")
    job = engine.scan(place)
    engine.top(Place("digits", None, LAYER, str(folder)), 1).result(TIMEOUT)  # does not wait for the pass
    until(lambda: job.progress[0] > 0 or job.done(), "for the first pictures")
    if job.cancel():
        with pytest.raises(CancelledError):
            job.result(TIMEOUT)
    seen = engine.scanned(place).result(TIMEOUT)
    assert 0 < seen["done"] <= 20 * COUNT
    assert engine.scan(place).result(TIMEOUT)["done"] == 20 * COUNT
    step = engine.states[run].step
    until(lambda: engine.states[run].step > step, "for a step")
    engine.stop(run).result(TIMEOUT)


def test_real_pictures_judge_a_synthetic_one(engine: Engine, library: Library, place: Place, tally: Tally) -> None:
    engine.scan(place).result(TIMEOUT)
    run = engine.begin(tiny(4)).result(TIMEOUT)
    engine.watch(run, "test")
    in_state(engine, run, "done")
    told = engine.natural(run, 4, 1, place.source).result(TIMEOUT)
    with library.open(run) as reader:
        frame = reader.frame(4, 1)
    assert frame is not None
    image, network, unit = decode(frame), load("digits"), Unit(LAYER, 1)
    real = [fit(tally.collection.read(int(i)), 28, 1) for i in tally.record.items[1]]
    paths = naturals.path_similarity(network, image, real, LAYER)
    assert [(one["layer"]) for one in told["paths"]] == [one.layer for one in paths]
    for one, mine in zip(told["paths"], paths, strict=True):
        assert (one["synthetic"], one["natural"]) == (
            pytest.approx(mine.synthetic, abs=1e-3), pytest.approx(mine.natural, abs=1e-3),
        )  # fmt: skip
    assert told["relative"] == pytest.approx(naturals.relative(network, image, unit, tally.record), rel=1e-3)
    assert told["held_out"] == pytest.approx(naturals.held_out(network, image, unit), rel=1e-2, abs=1e-3)
    rows = engine.judge(run, 4, place.source).result(TIMEOUT)
    assert [row["channel"] for row in rows] == [0, 1]
    assert rows[1]["path_similarity"] == pytest.approx(np.mean([one.synthetic for one in paths]), abs=1e-3)
    assert "path_similarity" not in engine.judge(run, 4).result(TIMEOUT)[0]


def test_long_works_leave_quick_ones_their_turns() -> None:
    works = Works(lambda event: None)

    def endless():  # type: ignore[no-untyped-def]
        while True:
            yield 0, 0

    for number, long in ((1, True), (2, True), (3, False), (4, False)):
        works.add(number, endless(), long=long)
    assert works.ready == [3, 1]
    works.cancel(3)
    works.cancel(1)
    assert works.ready == [4, 2]
