"""MNIST and what is stored like it: idx files, as they are or gzipped."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

from vizcore.errors import PictureError
from vizcore.train.data.parts import Dataset, Part

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
"""md5 of each, as torchvision checks them."""


def dataset(folder: Path) -> Dataset:
    """The data set in the four files under ``folder``.

    Raises:
        PictureError: a file is missing, damaged, or does not go with its neighbour.
    """
    train, test = part(folder, "train"), part(folder, "t10k")
    facts = {
        "data": f"MNIST (LeCun, Cortes, Burges 1998), ten digits, {len(train):,} pictures to train and "
        f"{len(test):,} to test",
        "licence": "MIT (weights); the pictures of MNIST are under CC BY-SA 3.0",
    }
    return Dataset("mnist", tuple("0123456789"), train, test=test, mean=(0.1307,), std=(0.3081,), facts=facts)


def find(folder: Path, name: str) -> Path | None:
    """The file of that name under ``folder``, unpacked or gzipped, written with ``-idx`` or ``.idx``."""
    plain = name.removesuffix(".gz")
    wanted = {plain, plain + ".gz", plain.replace("-idx", ".idx"), plain.replace("-idx", ".idx") + ".gz"}
    return next((path for path in sorted(folder.rglob("*ubyte*")) if path.name in wanted), None)


def part(folder: Path, prefix: str) -> Part:
    """The pictures and labels of ``train`` or ``t10k``."""
    values = []
    for what, dims in (("images-idx3", 3), ("labels-idx1", 1)):
        name = f"{prefix}-{what}-ubyte"
        path = find(folder, name)
        if path is None:
            raise PictureError(f"There is no file {name} in this folder.", "Give the folder with the four idx files.")
        values.append(read(path, dims))
    images, labels = values
    if len(images) != len(labels):
        raise PictureError(
            f"There are {len(images)} pictures and {len(labels)} labels in the idx files.", "Fetch the files again."
        )
    return Part(torch.from_numpy(images[:, None].copy()), torch.from_numpy(labels.astype(np.int64)))


def read(path: Path, dims: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The array of bytes in an idx file, with ``dims`` axes; raises :class:`PictureError` if it is none."""
    damaged = PictureError(f"{path.name} is no idx file, or an incomplete one.", "Fetch it again.")
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        raise damaged from None
    # Two zeros, the type (8: bytes), the number of axes, and their lengths as big-endian integers.
    if data[:4] != bytes((0, 0, 8, dims)) or len(data) < 4 + 4 * dims:
        raise damaged
    shape = struct.unpack(f">{dims}I", data[4 : 4 + 4 * dims])
    if len(data) - 4 - 4 * dims != int(np.prod(shape, dtype=np.int64)):
        raise damaged
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dims).reshape(shape)
