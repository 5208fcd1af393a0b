"""A picture carries its recipe; a file is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from vizcore import export, spec
from vizcore.errors import ExportError

SPEC = spec.build("digits", "conv1", (4, 0, 7), "Paper 4", size=32, seed=5)
SPEC_DICT = spec.to_dict(SPEC)
KNOBS = ((3, "rate", 0.5), (9, "jitter", 2))
IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def png(text: str | None, key: str = "vizcore", zipped: bool = False) -> io.BytesIO:
    info = PngImagePlugin.PngInfo()
    if text is not None:
        info.add_itxt(key, text, zip=zipped)
    stream = io.BytesIO()
    Image.fromarray(IMAGE).save(stream, "PNG", pnginfo=info)
    stream.seek(0)
    return stream


def recipe(**changes: object) -> str:
    return json.dumps({**json.loads(export.Recipe(SPEC, 12, KNOBS, 7, "ab").to_json()), **changes})


@pytest.mark.parametrize("image", [IMAGE, IMAGE[:, :, :1]])
def test_a_picture_carries_its_recipe(tmp_path: Path, image: np.ndarray) -> None:
    path = tmp_path / "a ü.png"
    extra = {"torch": "2.10", "note": "grün ☃"}
    export.save_png(path, image, SPEC, 12, KNOBS, extra, channel=7, weights_hash="ab" * 32)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture).reshape(image.shape), image)
    found = export.read_recipe(path)
    assert found == export.Recipe(SPEC, 12, KNOBS, 7, "ab" * 32, extra=extra)
    assert spec.canonical(found.spec) == spec.canonical(SPEC)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "text",
    [
        None, "", "{", "[]", "null", "3", "[" * 100_000, "9" * 5000, recipe(spec=None), recipe(spec={}),
        recipe(step=-1), recipe(step=True), recipe(step="1"), recipe(step=1e400), recipe(knobs=3), recipe(knobs=[[1]]),
        recipe(knobs=[[1, "size", 64]]), recipe(knobs=[[1, "rate", 1e9]]), recipe(extra=[]), recipe(channel=5),
        recipe(knobs=[[5, "rate", 1], [1, "rate", 1]]), recipe(weights_hash=3), recipe(vizcore=None),
        recipe(spec={**SPEC_DICT, "size": 10**9}), recipe(spec={**SPEC_DICT, "schema": 99}),
        recipe(spec={**SPEC_DICT, "__class__": "x"}), recipe(spec={**SPEC_DICT, "channels": list(range(65))}),
        recipe(extra={"x": "y" * 1_000_000}),
    ],
)  # fmt: skip
def test_forged_and_missing_recipes(text: str | None) -> None:
    with pytest.raises(ExportError) as caught:
        export.read_recipe(png(text))
    assert caught.value.hint


def test_a_bomb_in_a_text_chunk_is_refused() -> None:
    with pytest.raises(ExportError):
        export.read_recipe(png(" " * 50_000_000, zipped=True))


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"<svg/>", zlib.compress(b"x")],
)
def test_what_is_no_png(data: bytes) -> None:
    with pytest.raises(ExportError):
        export.read_recipe(io.BytesIO(data))


def test_other_formats_huge_and_absent_files(tmp_path: Path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "a.jpg")
    with pytest.raises(ExportError, match="no PNG"):
        export.read_recipe(tmp_path / "a.jpg")
    with pytest.raises(ExportError, match="cannot be read"):
        export.read_recipe(tmp_path / "b.png")
    with (tmp_path / "huge.png").open("wb") as stream:
        stream.truncate(export.MAX_FILE + 1)
    with pytest.raises(ExportError, match="too large"):
        export.read_recipe(tmp_path / "huge.png")


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_refused_or_read_whole(at: int, junk: bytes) -> None:
    data = bytearray(png(recipe()).getvalue())
    at %= len(data)
    data[at : at + len(junk)] = junk
    with contextlib.suppress(ExportError):
        assert export.read_recipe(io.BytesIO(bytes(data))).spec == SPEC


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize(("count", "columns"), [(1, None), (5, None), (16, None), (7, 3)])
def test_every_tile_of_a_sheet_is_its_picture(count: int, columns: int | None, colours: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (count, 24, 20, colours), np.uint8)
    for captions in ([], [str(i) for i in range(count)]):
        sheet = export.contact_sheet(images, captions, columns)
        across = columns or int(np.ceil(np.sqrt(count)))
        cell = 24 + 4 + (14 if captions else 0)
        assert sheet.shape == (4 + -(-count // across) * cell, 4 + across * 24, 3)
        for i, image in enumerate(images):
            top, left = 4 + i // across * cell, 4 + i % across * 24
            np.testing.assert_array_equal(sheet[top : top + 24, left : left + 20], np.broadcast_to(image, (24, 20, 3)))
        assert (sheet[:4] == 119).all()
        assert (sheet[:, :4] == 119).all()
        if captions:
            assert (sheet[28:42, 4:24] != 119).any()


def test_captions_stay_under_their_tile() -> None:
    images = np.zeros((2, 16, 16, 3), np.uint8)
    sheet = export.contact_sheet(images, ["a very long caption\nof two lines", ""], 2)
    assert (sheet[20:, 20:] == 119).all()


def test_a_sheet_carries_the_recipe(tmp_path: Path) -> None:
    images = np.zeros((3, 32, 32, 3), np.uint8)
    found = export.read_recipe(export.save_sheet(tmp_path / "sheet.png", images, SPEC, 4, KNOBS, weights_hash="cd"))
    assert (found.spec, found.step, found.knobs, found.channel, found.weights_hash) == (SPEC, 4, KNOBS, None, "cd")


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    path = tmp_path / "a.png"
    export.save_png(path, IMAGE, SPEC, 1)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if fails == "write":
            if not Path("/dev/full").exists():
                pytest.skip("no /dev/full")
            true_open = Path.open
            patch.setattr(Path, "open", lambda path, mode: true_open(Path("/dev/full"), "wb"))
        elif fails == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(Path, "replace", full)
        with pytest.raises(ExportError, match="disk is full"):
            export.save_png(path, 255 - IMAGE, SPEC, 2)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_no_folder_and_no_path_in_the_words(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no such folder") as caught:
        export.save_png(tmp_path / "none" / "a.png", IMAGE, SPEC, 1)
    assert str(tmp_path) not in str(caught.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExportError):
        export.save_png(tmp_path / "folder", IMAGE, SPEC, 1)
    with pytest.raises(ExportError, match="too long"):
        export.save_png(tmp_path / "a.png", IMAGE, SPEC, 1, extra={"x": "y" * 1_000_000})
    with pytest.raises(ExportError, match="no picture"):
        export.save_png(tmp_path / "a.png", IMAGE.astype(np.float32), SPEC, 1)  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
