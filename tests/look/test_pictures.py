"""Pictures from anywhere: what is read, how it is fitted, and what is refused."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from tests.look import nets
from vizcore.errors import PictureError
from vizcore.look.collections import collect
from vizcore.look.pictures import fit, read


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


RGB = nets.picture(20, 30)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and has few bytes."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_lossless_pictures_are_read_as_they_are(kind: str) -> None:
    found = read(saved(Image.fromarray(RGB), kind, lossless=True))
    assert np.array_equal(found, RGB)
    assert (found.dtype, found.flags.c_contiguous) == (np.uint8, True)


def test_other_kinds_of_pixels_become_rgb() -> None:
    grey = np.arange(240, dtype=np.uint8).reshape(12, 20)
    assert np.array_equal(read(saved(Image.fromarray(grey), "PNG")), np.repeat(grey[..., None], 3, 2))
    wide = grey.astype(np.uint16) * 257
    assert np.array_equal(read(saved(Image.fromarray(wide), "PNG"))[..., 0], grey)
    cmyk = Image.fromarray(RGB).convert("CMYK")
    found = read(saved(cmyk, "JPEG", quality=100, subsampling=0))
    assert np.abs(found.astype(int) - RGB).mean() < 12
    palette = Image.fromarray(RGB).quantize(8)
    assert np.array_equal(read(saved(palette, "PNG")), np.asarray(palette.convert("RGB")))
    half = np.dstack([RGB, np.full(RGB.shape[:2], 0, np.uint8)])
    assert (read(saved(Image.fromarray(half), "PNG")) == 255).all()
    bits = Image.fromarray(grey > 100)
    assert set(np.unique(read(saved(bits, "PNG")))) == {0, 255}


def test_of_an_animation_the_first_frame() -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 200)]
    for kind in ("PNG", "WEBP"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert (read(data) == 10).all()
    with pytest.raises(PictureError, match="no PNG, JPEG or WebP"):
        read(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_upright(turn: int) -> None:
    """Pillow's own function is the oracle."""
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = turn
    data = saved(Image.fromarray(RGB), "PNG", exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read(data), wanted)


def test_a_broken_exif_block_says_nothing() -> None:
    data = saved(Image.fromarray(RGB), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff\x00\x01")
    assert read(data).shape == RGB.shape


SOUND = saved(Image.fromarray(nets.picture(200, 200)), "JPEG")
BAD = {
    "empty": b"",
    "60000 x 60000": png_header(60000, 60000),
    "108 megapixels": png_header(12000, 9000),
    "26 megapixels": png_header(5200, 5000),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
    "html": b"<!doctype html><img src=x onerror=alert(1)>",
    "tiff": saved(Image.fromarray(RGB), "TIFF"),
    "bmp": saved(Image.fromarray(RGB), "BMP"),
    "gif": saved(Image.fromarray(RGB), "GIF"),
    "truncated jpeg": SOUND[: len(SOUND) // 2],
    "truncated png": saved(Image.fromarray(nets.picture(200, 200)), "PNG")[:9000],
    "truncated webp": saved(Image.fromarray(nets.picture(200, 200)), "WEBP")[:2000],
    "png without pixels": png_header(100, 100)[:60],
    "noise behind a png's magic": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "noise behind a jpeg's magic": b"\xff\xd8\xff\xe0" + bytes(range(256)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str) -> None:
    began = time.perf_counter()
    with pytest.raises(PictureError) as caught:
        read(BAD[name])
    assert caught.value.hint
    assert "/" not in caught.value.message
    if "00" in name or "mega" in name:
        assert "25 megapixels" in caught.value.message
        assert time.perf_counter() - began < 0.5


def test_every_prefix_and_every_flipped_byte_is_read_or_refused() -> None:
    small = saved(Image.fromarray(RGB), "PNG")
    for end in range(0, len(small) - 20, 7):  # without its last chunk, a PNG is still whole
        with pytest.raises(PictureError):
            read(small[:end])
    generator = np.random.default_rng(0)
    for data in (small, saved(Image.fromarray(RGB), "JPEG"), saved(Image.fromarray(RGB), "WEBP")):
        for place in generator.integers(0, len(data), 150):
            broken = bytearray(data)
            broken[place] ^= int(generator.integers(1, 256))
            with contextlib.suppress(PictureError):
                read(bytes(broken))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path, tmp_path / "x\0y.png"):
        with pytest.raises(PictureError):
            read(path)


def test_fitting_is_what_torchvision_does_at_the_same_scale() -> None:
    picture = nets.picture(120, 90)
    wanted = transforms.Compose([transforms.CenterCrop(90), transforms.Resize(32)])(Image.fromarray(picture))
    assert np.array_equal(fit(picture, 32), np.asarray(wanted))
    assert np.array_equal(fit(picture, 32, 1)[..., 0], np.asarray(Image.fromarray(picture).crop((0, 15, 90, 105))
                          .convert("L").resize((32, 32), Image.Resampling.BILINEAR)))  # fmt: skip
    assert fit(nets.picture(3000, 2), 224).shape == (224, 224, 3)
    same = nets.picture(64, 64)
    assert np.array_equal(fit(same, 64), same)


def fill(folder: Path) -> None:
    for label in ("cats", "dogs"):
        (folder / label).mkdir(parents=True)
        for i in range(3):
            (folder / label / f"{i}.png").write_bytes(saved(Image.fromarray(nets.picture(20, 20, i)), "PNG"))
    (folder / "cats" / "broken.JPG").write_bytes(SOUND[:500])
    (folder / "cats" / "zero.webp").write_bytes(b"")
    (folder / "notes.txt").write_text("x")


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_collections_name_their_pictures_and_skip_what_is_broken(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    fill(folder)
    source = folder
    if kind == "zip":
        source = tmp_path / "data.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for path in sorted(folder.rglob("*.*")):
                archive.write(path, path.relative_to(folder))
            archive.writestr("__MACOSX/cats/._0.png", b"x")
    found = collect(source)
    assert found.names == ("cats/0.png", "cats/1.png", "cats/2.png", "cats/broken.JPG", "cats/zero.webp",
                           "dogs/0.png", "dogs/1.png", "dogs/2.png")  # fmt: skip
    assert found.labels[0] == "cats"
    loaded = dict(found.load([7, 3, 0, 4], 16, 3))
    assert list(loaded) == [7, 3, 0, 4]
    assert isinstance(loaded[3], PictureError)
    assert isinstance(loaded[4], PictureError)
    assert np.array_equal(loaded[0], fit(nets.picture(20, 20, 0), 16))
    assert np.array_equal(found.read(7), nets.picture(20, 20, 2))
    assert collect(source, "/dogs/").names == ("dogs/0.png", "dogs/1.png", "dogs/2.png")
    assert collect(source).fingerprint == found.fingerprint != collect(source, "/dogs/").fingerprint


def test_a_changed_file_changes_the_fingerprint(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    before = collect(tmp_path / "a").fingerprint
    (tmp_path / "a" / "dogs" / "0.png").write_bytes(saved(Image.fromarray(nets.picture(20, 20, 9)), "PNG"))
    assert collect(tmp_path / "a").fingerprint != before


def test_collections_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    with zipfile.ZipFile(tmp_path / "no.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    for name, text in (("empty", "no pictures"), ("none", "not there"), ("text.txt", "no folder or zip"),
                       ("broken.zip", "incomplete or damaged"), ("no.zip", "no pictures")):  # fmt: skip
        with pytest.raises(PictureError, match=text):
            collect(tmp_path / name)


def test_a_member_that_expands_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizcore.look.pictures.MAX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(10_000_000))
    with pytest.raises(PictureError, match="too large"):
        collect(tmp_path / "bomb.zip").read(0)
