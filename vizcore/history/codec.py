"""Pictures as bytes: JPEG for the many, lossless WebP for the small and the special."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizcore.errors import HistoryError

Pixels = NDArray[np.uint8]

LOSSLESS_SIDE = 64  # px: below, a lossless picture is hardly larger than a JPEG, and blocks would show
LOSSLESS_EVERY = 50  # steps
JPEG_QUALITY = 95

JPEG, WEBP, WEBP_GREY = 0, 1, 2  # frame.codec; WebP has no grey, so its decoder must be told
MIME = {JPEG: "image/jpeg", WEBP: "image/webp", WEBP_GREY: "image/webp"}


@dataclass(frozen=True)
class StoredFrame:
    """One picture of one filter, as the run file holds it; ``data`` goes to browsers unchanged.

    Args:
        codec: ``"image/jpeg"`` or ``"image/webp"``.
        status: ``"ok"``, ``"zero gradient"``, ``"dead"`` or ``"nan"``.
    """

    step: int
    channel: int
    codec: str
    data: bytes
    lossless: bool
    score: float
    gradient_norm: float
    status: str = "ok"
    grey: bool = False


def encode(image: Pixels, lossless: bool) -> tuple[int, bytes]:
    """The codec number and the bytes of ``image`` uint8 [H, W, C], C = 1 or 3."""
    grey = image.shape[2] == 1
    picture = Image.fromarray(image[:, :, 0] if grey else image)
    stream = io.BytesIO()
    if lossless:
        picture.save(stream, "WEBP", lossless=True, method=0, exact=True)
        return (WEBP_GREY if grey else WEBP), stream.getvalue()
    extra: dict[str, Any] = {} if grey else {"subsampling": 0}  # 4:4:4: colour is half of what is looked at
    picture.save(stream, "JPEG", quality=JPEG_QUALITY, **extra)
    return JPEG, stream.getvalue()


def decode(stored: StoredFrame) -> Pixels:
    """The picture as uint8 [H, W, C], C = 1 for a grey run, else 3.

    Raises:
        HistoryError: the bytes are damaged.
    """
    try:
        with Image.open(io.BytesIO(stored.data), formats=["JPEG", "WEBP"]) as picture:
            grey = stored.grey or picture.mode == "L"
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise HistoryError("A stored picture is damaged.", "Continue the run from an earlier checkpoint.") from error
    return pixels[:, :, :1].copy() if grey else pixels
