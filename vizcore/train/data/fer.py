"""FER2013 (Goodfellow et al. 2013): faces of 48 × 48 px, as Kaggle's CSV in three spellings, or as class folders.

::

    fer2013.csv           emotion,pixels,Usage        Training, PublicTest, PrivateTest
    icml_face_data.csv    emotion, Usage, pixels      the same with spaces before the names
    train.csv, test.csv   emotion,pixels              test.csv of the competition has no labels

The public test is what one chooses networks by, the private test what one reports: they are kept apart.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vizcore.errors import PictureError
from vizcore.train.data import trees
from vizcore.train.data.parts import Dataset, Part, Progress

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIDE = 48
LICENCE = "MIT (weights); the pictures of FER2013 were collected for research and belong to their owners"
FILES = ("fer2013.csv", "icml_face_data.csv", "train.csv")
_USAGE = {"training": "train", "publictest": "validate", "privatetest": "test"}
_COLUMNS = "Use Kaggle's fer2013.csv, icml_face_data.csv or train.csv, with the columns emotion, pixels and Usage."


def dataset(source: Path, size: int | None = None, progress: Progress | None = None) -> Dataset:
    """The data set in a CSV file, in a folder with one, or in class folders (also in a zip).

    Raises:
        PictureError: wrong columns, a row whose pixels are not 2,304 numbers from 0 to 255, a label above 6.
    """
    if source.is_dir():
        table = next((path for name in FILES for path in sorted(source.rglob(name))), None)
    else:
        table = source if source.suffix.lower() == ".csv" else None
    found = _from_table(table) if table is not None else _from_folders(source, size, progress)
    sizes = ", ".join(
        f"{len(part):,} {words}"
        for part, words in ((found.train, "to train"), (found.validate, "public"), (found.test, "private"))
        if part is not None
    )
    data = f"FER2013 (Goodfellow et al. 2013), seven expressions, {sizes}"
    return replace(found, name="fer2013", facts={"data": data, "licence": LICENCE})


def _from_folders(source: Path, size: int | None, progress: Progress | None) -> Dataset:
    """Class folders, where the names of test pictures tell the public from the private ones."""
    found = trees.dataset(source, size or SIDE, 1, CLASSES, progress)
    if found.test is None or found.validate is not None:
        return found
    public = torch.tensor(["public" in name.rpartition("/")[2].lower() for name in found.test.names])
    if not public.any() or public.all():
        return found
    rows = torch.arange(len(public))
    return replace(found, validate=found.test.pick(rows[public]), test=found.test.pick(rows[~public]))


def _from_table(path: Path) -> Dataset:
    images: dict[str, list[np.ndarray[tuple[int], np.dtype[np.uint8]]]] = {key: [] for key in _USAGE.values()}
    labels: dict[str, list[int]] = {key: [] for key in _USAGE.values()}
    for line, label, usage, pixels in _rows(path):
        part = _USAGE.get(usage.replace(" ", "").lower())
        if part is None:
            raise PictureError(f"Line {line} of {path.name} has the usage {usage[:30]!r}.", _COLUMNS)
        images[part].append(_face(pixels, path.name, line))
        labels[part].append(_label(label, path.name, line))
    parts = {
        key: Part(torch.from_numpy(np.stack(faces).reshape(-1, 1, SIDE, SIDE)), torch.tensor(labels[key]))
        for key, faces in images.items()
        if faces
    }
    if not parts:
        raise PictureError(f"There are no rows in {path.name}.", _COLUMNS)
    return Dataset("fer2013", CLASSES, parts.get("train"), parts.get("validate"), parts.get("test"))


def _rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line number, label, usage and pixels of each row."""
    csv.field_size_limit(1 << 20)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise PictureError(f"{path.name} cannot be read as text.", _COLUMNS) from None
    reader = csv.reader(io.StringIO(text))
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        missing = next((name for name in ("emotion", "pixels") if name not in columns), None)
        if missing is not None:
            raise PictureError(f"{path.name} has no column {missing!r}.", _COLUMNS)
        emotion, pixels = columns.index("emotion"), columns.index("pixels")
        usage = columns.index("usage") if "usage" in columns else None
        for row in reader:
            if not row:
                continue
            if len(row) != len(columns):
                raise PictureError(
                    f"Line {reader.line_num} of {path.name} has {len(row)} columns, not {len(columns)}.", _COLUMNS
                )
            yield reader.line_num, row[emotion], "Training" if usage is None else row[usage], row[pixels]
    except csv.Error:
        raise PictureError(f"{path.name} is no CSV file, or a damaged one.", _COLUMNS) from None


def _face(text: str, name: str, line: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    try:
        values = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        raise PictureError(f"Line {line} of {name} has pixels that are no whole numbers.", _COLUMNS) from None
    if len(values) != SIDE * SIDE:
        raise PictureError(f"Line {line} of {name} has {len(values)} pixels, not {SIDE * SIDE}.", _COLUMNS)
    if values.min() < 0 or values.max() > 255:
        raise PictureError(f"Line {line} of {name} has a pixel outside of 0 to 255.", _COLUMNS)
    return values.astype(np.uint8)


def _label(text: str, name: str, line: int) -> int:
    if not text.strip().isdecimal() or int(text) >= len(CLASSES):
        raise PictureError(
            f"Line {line} of {name} has the label {text[:20]!r}, out of range.", "Labels of FER2013 are 0 to 6."
        )
    return int(text)
