"""The magnitude spectrum of pictures, which MACO keeps: bundled, or measured on a folder.

Magnitudes of photographs fall about as 1 / frequency, so a table holds ``mean |F(k)| · |k|``, which is nearly flat
and may be read between its frequencies, for pictures of any size::

    table [4, S, S // 2 + 1]    rows of an rfft2 of S px: three decorrelated colours, then grey
"""

from __future__ import annotations

import argparse
import functools
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vizcore import assets
from vizcore.errors import PictureError, SpecError

Table = NDArray[np.float32]

BUNDLED = Path(__file__).with_name("spectrum.npz")
SIDE = 64  # px of a bundled table; smaller than most pictures, so that none is scaled up
GREY = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as pictures are made grey for networks that see no colours
MOST = 20_000  # pictures of a folder: the mean has long settled

# Square root of the covariance of colours in ImageNet, of norm 1 in its largest column (lucid: Olah et al. 2017).
COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOURS /= np.linalg.norm(COLOURS, axis=0).max()


def measure(pictures: Iterable[NDArray[np.uint8]], side: int = SIDE) -> Table:
    """The table of pictures uint8 ``[side, side, 3]``.

    Raises:
        PictureError: there are none.
    """
    total, count = np.zeros((4, side, side // 2 + 1)), 0
    apart = np.concatenate([np.linalg.inv(COLOURS), GREY[None]])
    for picture in pictures:
        planes = np.einsum("dc,hwc->dhw", apart, picture / 255.0)
        total += np.abs(np.fft.rfft2(planes))
        count += 1
    if not count:
        raise PictureError("There are no pictures to take a spectrum of.", "Give a folder of PNG, JPEG or WebP files.")
    return np.asarray(total / count * _frequency(side, side), np.float32)


def of_folder(source: str | Path, side: int = 128) -> str:
    """Measure the pictures under a folder or in a zip; returns the name under which the table is kept.

    Raises:
        PictureError: no such folder, or no picture in it that can be read.
    """
    return assets.keep(packed(_cuts(Path(source), side, side), side), ".npz")


def packed(pictures: Iterable[NDArray[np.uint8]], side: int) -> bytes:
    """The file of a table."""
    stream = io.BytesIO()
    np.savez_compressed(stream, table=measure(pictures, side).astype(np.float16))
    return stream.getvalue()


def _cuts(source: Path, side: int, within: int) -> Iterator[NDArray[np.uint8]]:
    """The middle ``side`` px of each picture, which was fitted to ``within`` px."""
    from vizcore.look.collections import collect

    collection = collect(source)
    order = np.random.default_rng(0).permutation(len(collection))[:MOST].tolist()
    edge = (within - side) // 2
    for _, picture in collection.load(order, within, 3):
        if not isinstance(picture, PictureError):
            yield picture[edge : edge + side, edge : edge + side]


def magnitudes(name: str, colours: int, height: int, width: int) -> NDArray[np.float64]:
    """``[colours, H, W // 2 + 1]`` for an inverse ``rfft2`` that does not divide; mean square of each plane summed: 1.

    The zero frequency is 0: the mean of the picture is grey.

    Args:
        name: of :func:`of_folder`, or empty for the bundled one.

    Raises:
        SpecError: there is no such table here.
    """
    table = _table(name)
    found = _read(table[3:] if colours == 1 else table[:3], height, width)
    frequency = _frequency(height, width)
    result = np.divide(found, frequency, out=np.zeros_like(found), where=frequency > 0)
    # Parseval: of a real picture, all columns of the half spectrum but the first (and the last of even widths) count
    # twice.
    twice = np.full(width // 2 + 1, 2.0)
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    scaled: NDArray[np.float64] = result * np.sqrt(colours / (twice * result**2).sum())
    return scaled


@functools.lru_cache(maxsize=8)
def _table(name: str) -> NDArray[np.float64]:
    source = BUNDLED if not name else assets.find(name, ".npz", "spectrum")
    try:
        with np.load(source, allow_pickle=False) as file:
            table = np.asarray(file["table"], np.float64)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise SpecError("The spectrum is damaged.", "Take it again, from the folder.") from error
    side = table.shape[1] if table.ndim == 3 else 0
    if table.shape != (4, side, side // 2 + 1) or side < 4 or not np.isfinite(table).all():
        raise SpecError("The spectrum is damaged.", "Take it again, from the folder.")
    table[:, 0, 0] = (table[:, 0, 1] + table[:, 1, 0] + table[:, -1, 0]) / 3  # 0 by its definition
    return table


def _frequency(height: int, width: int) -> NDArray[np.float64]:
    """In cycles per pixel, ``[H, W // 2 + 1]``."""
    found: NDArray[np.float64] = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    return found


def _read(table: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """The table at the frequencies of a picture, linear between its own; rows are periodic."""
    side = table.shape[1]
    rows, columns = np.fft.fftfreq(height) * side, np.fft.rfftfreq(width) * side
    top, left = np.floor(rows).astype(int), np.minimum(np.floor(columns).astype(int), table.shape[2] - 2)
    down, right = (rows - top)[:, None], (columns - left)[None]

    def at(dy: int, dx: int) -> NDArray[np.float64]:
        found: NDArray[np.float64] = table[:, ((top + dy) % side)[:, None], (left + dx)[None]]
        return found

    above = at(0, 0) * (1 - right) + at(0, 1) * right
    below = at(1, 0) * (1 - right) + at(1, 1) * right
    read: NDArray[np.float64] = above * (1 - down) + below * down
    return read


def main(argv: list[str] | None = None) -> int:
    """Take the bundled table anew: ``python -m vizcore.spectrum PICTURES --write vizcore/spectrum.npz``.

    The bundled one is of the 13,394 pictures of Imagenette (a subset of ImageNet) at 80 px, of each the middle 64 px.
    """
    parser = argparse.ArgumentParser(prog="python -m vizcore.spectrum", description=main.__doc__)
    parser.add_argument("pictures", type=Path, help="a folder, or a zip")
    parser.add_argument("--write", type=Path, metavar="FILE", required=True)
    parser.add_argument("--side", type=int, default=SIDE, metavar="PX")
    parser.add_argument("--within", type=int, default=80, metavar="PX", help="the size of the picture it is cut from")
    args = parser.parse_args(argv)
    args.write.write_bytes(packed(_cuts(args.pictures, args.side, args.within), args.side))
    return 0


if __name__ == "__main__":
    sys.exit(main())
