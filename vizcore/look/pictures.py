"""Reading pictures that come from anywhere, and fitting them to a network.  No torch here.

A picture is uint8 ``[H, W, 3]``, RGB, upright.  Only PNG, JPEG and WebP are decoded, whatever a file calls itself, and
the number of pixels is checked before the first one is.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizcore.errors import PictureError

Picture = NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_PIXELS = 25_000_000
MAX_BYTES = 128 * 2**20  # of a file: 25 megapixels of 16-bit RGB noise are 150 MB, photographs far less

_DAMAGED = (OSError, ValueError, SyntaxError, IndexError, KeyError, TypeError, EOFError, struct.error, zlib.error)
"""What Pillow's readers raise for damaged files."""


def read(source: str | Path | bytes) -> Picture:
    """The picture in a file, or in bytes: uint8 ``[H, W, 3]``.

    Of an animation the first frame.  EXIF orientation is applied, CMYK, grey, palette and 16 bit become RGB, and what
    is transparent becomes white.

    Raises:
        PictureError: it is empty, of another format, damaged, incomplete, or above 25 megapixels.
    """
    data = source if isinstance(source, bytes) else load(Path(source))
    if not data:
        raise PictureError("The picture is empty (0 bytes).", "Choose another file.")
    if len(data) > MAX_BYTES:
        raise PictureError("The picture is too large a file.", f"Choose one of at most {MAX_BYTES // 2**20} MiB.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large pictures and odd EXIF; both are dealt with here
        return _decode(data)


def load(path: Path) -> bytes:
    """The bytes of a picture's file, at most :data:`MAX_BYTES` and one of them; raises :class:`PictureError`."""
    try:
        if path.is_dir():
            raise PictureError("This is a folder, not a picture.", "Give a PNG, JPEG or WebP file.")
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise PictureError(f"There is no picture {path.name[:60]!r}.", "Check its name.") from None
    except (OSError, ValueError):
        raise PictureError("The picture cannot be read.", "Check that you may read the file.") from None


def _decode(data: bytes) -> Picture:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_large() from None
    except _DAMAGED:
        raise PictureError("This is no PNG, JPEG or WebP picture, or a damaged one.", "Save it as one.") from None
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(image.width, image.height)
        try:
            image.load()
            return np.ascontiguousarray(_upright(_rgb(image), image))
        except Image.DecompressionBombError:
            raise _too_large() from None
        except _DAMAGED:
            raise PictureError("The picture is incomplete or damaged.", "Save or download it again.") from None


def _too_large(width: int = 0, height: int = 0) -> PictureError:
    size = f" ({width} × {height})" if width else ""
    return PictureError(f"The picture has more than 25 megapixels{size}.", "Scale it down first.")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # 16 bit; Pillow would clip at 255
        wide = np.asarray(image, dtype=np.float64)
        return Image.fromarray((wide / 257).clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _upright(rgb: Image.Image, original: Image.Image) -> Image.Image:
    """``rgb`` turned as the EXIF orientation of ``original`` says; an EXIF block that cannot be read says nothing."""
    turn = None
    with contextlib.suppress(Exception):  # its parser meets arbitrary bytes
        turn = _TURNS.get(int(original.getexif().get(0x0112, 1)))
    return rgb if turn is None else rgb.transpose(turn)


_T = Image.Transpose
_TURNS = {
    2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM, 5: _T.TRANSPOSE,
    6: _T.ROTATE_270, 7: _T.TRANSVERSE, 8: _T.ROTATE_90,
}  # fmt: skip
"""EXIF 2.3, tag 0x0112."""


def fit(picture: Picture, size: int, channels: int = 3) -> Picture:
    """The central square, scaled to ``size``: uint8 ``[size, size, channels]``, grey (ITU-R 601) for one channel.

    Bilinear with antialiasing, as torchvision's networks were trained and tested.
    """
    height, width = picture.shape[:2]
    side = min(height, width)
    left, top = round((width - side) / 2), round((height - side) / 2)
    image = Image.fromarray(picture if picture.shape[2] == 3 else picture[:, :, 0])
    image = image.convert("RGB" if channels == 3 else "L")
    if width != height:
        image = image.crop((left, top, left + side, top + side))
    if side != size:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(size, size, channels)
