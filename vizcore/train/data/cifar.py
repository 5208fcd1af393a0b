"""CIFAR-10 (Krizhevsky 2009): the binary version, or class folders."""

from __future__ import annotations

import io
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vizcore.errors import PictureError
from vizcore.train.data import trees
from vizcore.train.data.parts import Dataset, Part, Progress

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # as the page of the data set says
ARCHIVE = "cifar-10-binary.tar.gz"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN, TEST = tuple(f"data_batch_{number}.bin" for number in range(1, 6)), ("test_batch.bin",)
LICENCE = "MIT (weights); the pictures of CIFAR-10 belong to their owners"
_ROW = 1 + 3 * 32 * 32  # a label, then three planes


def dataset(source: Path, size: int | None = None, progress: Progress | None = None) -> Dataset:
    """The data set in ``cifar-10-binary.tar.gz``, in a folder with its files, or in class folders (also in a zip)."""
    files = _files(source)
    if files:
        parts = [_part(files, names) for names in (TRAIN, TEST)]
        found = Dataset("cifar10", CLASSES, parts[0], test=parts[1])
    else:
        found = trees.dataset(source, size or 32, 3, CLASSES, progress)
    train, test = (0 if part is None else len(part) for part in (found.train, found.test))
    data = f"CIFAR-10 (Krizhevsky 2009), ten classes, {train:,} pictures to train and {test:,} to test"
    return replace(found, name="cifar10", facts={"data": data, "licence": LICENCE})


def _files(source: Path) -> dict[str, bytes]:
    """The binary files by name; none if there are none."""
    wanted = {*TRAIN, *TEST}
    if source.is_dir():
        archive = next(iter(sorted(source.rglob(ARCHIVE))), None)
        found = {path.name: path.read_bytes() for path in sorted(source.rglob("*.bin")) if path.name in wanted}
        if found or archive is None:
            return found
        source = archive
    if not source.name.endswith((".tar.gz", ".tgz", ".tar")):
        return {}
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(source.read_bytes())) as archive_file:
            for member in archive_file:
                name = member.name.rpartition("/")[2]
                stream = archive_file.extractfile(member) if name in wanted and member.isfile() else None
                if stream is not None:
                    found[name] = stream.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError):
        raise PictureError(f"{source.name} is incomplete or damaged.", "Fetch it again.") from None
    if not found:
        raise PictureError(f"{source.name} has no files of CIFAR-10's binary version in it.", f"Use {ARCHIVE}.")
    return found


def _part(files: dict[str, bytes], names: tuple[str, ...]) -> Part:
    missing = next((name for name in names if name not in files), None)
    if missing is not None:
        raise PictureError(f"There is no file {missing} in it.", f"Use {ARCHIVE}, whole.")
    strange = next((name for name in names if not files[name] or len(files[name]) % _ROW), None)
    if strange is not None:
        raise PictureError(f"{strange} is incomplete or damaged.", "Fetch it again.")
    rows = np.concatenate([np.frombuffer(files[name], np.uint8).reshape(-1, _ROW) for name in names])
    images = torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy())
    return Part(images, torch.from_numpy(rows[:, 0].astype(np.int64)))
