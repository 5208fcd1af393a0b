"""Films: what other programs read back from them, and that nothing half-written is left."""

from __future__ import annotations

import builtins
import csv
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from vizcore import animation, curves
from vizcore.animation import Film
from vizcore.errors import ExportError, HistoryError
from vizcore.history import RunReader, RunWriter
from vizcore.spec import build


@pytest.fixture(params=[3, 1])
def reader(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunReader]:
    """Six steps of two filters, each picture a gradient whose brightness tells step and filter."""
    path = tmp_path / "runs" / "20260101-000000-aaaaaa.vizrun"
    ramp = np.linspace(0, 40, 32)[None, :, None]
    with RunWriter.create(path, build("digits", "conv1", (4, 7), size=32, steps=10)) as writer:
        for step in range(6):
            images = np.stack([np.broadcast_to(ramp + 30 * step + 15 * row, (32, 32, request.param)) for row in (0, 1)])
            writer.add(step, images.astype(np.uint8), [step, np.pi * step], [0.5, 0.25])
        writer.add_scores(6, [np.nan, 1], [0, 0])
        writer.knob(3, "rate", 0.125)
    with RunReader(path) as reader:
        yield reader


def brightness(step: int, row: int = 0) -> float:
    return 20 + 30 * step + 15 * row


@pytest.mark.parametrize("form", ["gif", "webp"])
def test_gif_and_webp_have_each_step_in_its_time(reader: RunReader, tmp_path: Path, form: str) -> None:
    told: list[tuple[int, int]] = []
    out = tmp_path / f"a.{form}"
    film = Film(range(1, 9), [7], fps=30)
    assert animation.save(out, reader, film, lambda *at: told.append(at)) == 5
    assert told == [(number, 5) for number in range(1, 6)]
    with Image.open(out) as picture:
        assert (picture.n_frames, picture.size, picture.info["loop"]) == (5, (32, 32), 0)  # type: ignore[attr-defined]
        frames, times = [], []
        for frame in ImageSequence.Iterator(picture):
            frames.append(np.asarray(frame.convert("RGB")).mean())
            times.append(frame.info["duration"])
    assert frames == pytest.approx([brightness(step, 1) for step in range(1, 6)], abs=4)
    assert sum(times) == pytest.approx(5000 / 30, abs=5)
    animation.save(out, reader, Film(range(6), [4], loop=False, size=64))
    with Image.open(out) as picture:
        assert picture.info.get("loop", 1) == 1
        assert picture.size == (64, 64)


@pytest.mark.parametrize("form", ["mp4", "webm"])
def test_videos_play_each_step(reader: RunReader, tmp_path: Path, form: str) -> None:
    av = pytest.importorskip("av")
    out = tmp_path / f"a.{form}"
    assert animation.save(out, reader, Film(range(6), fps=12.5)) == 6
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == pytest.approx(12.5)
        assert stream.codec_context.name in ("h264", "vp9", "libvpx-vp9", "libdav1d")
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == 6
    for step, frame in enumerate(frames):
        left, right = frame[4:36, 4:36].mean(), frame[4:36, 40:72].mean()
        assert (left, right) == pytest.approx((brightness(step), brightness(step, 1)), abs=6)


def test_what_cannot_be_a_film(reader: RunReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExportError, match="does not end in"):
        animation.save(tmp_path / "a.avi", reader, Film(range(3)))
    with pytest.raises(ExportError, match="no pictures"):
        animation.save(tmp_path / "a.gif", reader, Film(range(6, 9)))
    with pytest.raises(HistoryError, match="no filter 5"):
        animation.save(tmp_path / "a.gif", reader, Film(range(3), [5]))
    for bad in ({"fps": 0}, {"fps": 31}, {"fps": float("nan")}, {"size": 4}):
        with pytest.raises(ExportError):
            Film(range(3), **bad)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match="no such folder"):
        animation.save(tmp_path / "nowhere" / "a.gif", reader, Film(range(3)))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ExportError, match="PyAV") as caught:
        animation.save(tmp_path / "a.mp4", reader, Film(range(3)))
    assert "vizcore[video]" in caught.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


@pytest.mark.parametrize("form", ["gif", "webp", "mp4", "webm", "csv", "parquet"])
def test_a_full_disk_and_ctrl_c_leave_what_was_there(
    reader: RunReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    for module in {"mp4": ["av"], "webm": ["av"], "parquet": ["pyarrow"]}.get(form, []):
        pytest.importorskip(module)
    out = tmp_path / f"a.{form}"
    out.write_bytes(b"before")

    def write() -> None:
        if form in ("csv", "parquet"):
            curves.save(out, reader)
        else:
            animation.save(out, reader, Film(range(6), [4]), interrupt)

    def interrupt(done: int, total: int) -> None:
        if done == 3 and stop:
            raise KeyboardInterrupt

    stop = form not in ("csv", "parquet")
    if stop:
        with pytest.raises(KeyboardInterrupt):
            write()
        assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, "runs"]

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stop = False
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ExportError, match="disk is full"):
        write()
    assert out.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, "runs"]


def test_curves_read_back_as_they_were(reader: RunReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert curves.save(tmp_path / "a.csv", reader) == 14
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["step", "filter", "score", "gradient_norm", "kept", "rate"]
    assert [(int(row["step"]), int(row["filter"])) for row in rows] == [(s, c) for s in range(7) for c in (4, 7)]
    scores = np.array([float(row["score"]) for row in rows], np.float32).reshape(7, 2)
    np.testing.assert_array_equal(scores, reader.scores()[1])
    assert [row["kept"] for row in rows][-4:] == ["1", "1", "0", "0"]
    assert [float(row["rate"]) for row in rows[::2]] == [0.05] * 3 + [0.125] * 4
    with pytest.raises(ExportError, match="do not end"):
        curves.save(tmp_path / "a.xls", reader)
    monkeypatch.setattr(builtins, "__import__", _without_pyarrow(builtins.__import__))
    with pytest.raises(ExportError, match="pyarrow") as caught:
        curves.save(tmp_path / "a.parquet", reader)
    assert "vizcore[parquet]" in caught.value.hint


def _without_pyarrow(before: object) -> object:
    def importing(name: str, *rest: object) -> object:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return before(name, *rest)  # type: ignore[operator]

    return importing


def test_parquet_holds_the_same_table(reader: RunReader, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    curves.save(tmp_path / "a.parquet", reader)
    table = parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert table["filter"] == [4, 7] * 7
    np.testing.assert_array_equal(np.array(table["score"], np.float32).reshape(7, 2), reader.scores()[1])
