"""Class folders: any tree of pictures, also inside a zip, whose last folder names the class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch

from vizcore.errors import PictureError
from vizcore.look.collections import Collection, collect
from vizcore.train.data.parts import Dataset, Part, Progress

PARTS = {
    "train": "train", "training": "train",
    "val": "validate", "valid": "validate", "validation": "validate",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Folders that name a part; without them all pictures are for training."""
SIZE = 64  # px if the pictures have many sizes
_LOOKED = 32  # pictures that are opened to learn the size


def dataset(
    source: Path,
    size: int | None = None,
    channels: int | None = None,
    classes: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Dataset:
    """The pictures under ``source``, fitted to squares of ``size`` px.

    Args:
        size: the pictures' own if they all have the same up to 96 px, else 64.
        channels: 3, or 1 if none of the first pictures has any colour.
        classes: names in the order of their labels; the folders' names in order if not given.

    Raises:
        PictureError: there are no pictures, only one class, or folders that no class belongs to.
    """
    collection = collect(source)
    labels = collection.labels
    _in_folders(collection)
    found = tuple(sorted(set(labels)))
    if len(found) < 2:
        named = f", {found[0][:40]!r}" if found[0] else ""
        raise PictureError(
            f"There is only one class in it{named}.", "Put the pictures of each class into a folder of its own."
        )
    if not classes:
        classes = found
    strange = sorted(set(found) - set(classes))
    if strange:
        raise PictureError(
            f"The folder {strange[0][:40]!r} is none of the classes.", f"Name the folders {', '.join(classes)}."
        )
    if size is None or channels is None:
        own_size, own_channels = _shape(collection)
        size, channels = size or own_size, channels or own_channels
    rows: dict[str, list[int]] = {"train": [], "validate": [], "test": []}
    for index, name in enumerate(collection.names):
        rows[_part_of(name)].append(index)
    parts, skipped = {}, Counter[str]()
    done, total = 0, len(collection)
    for key, order in rows.items():
        images = np.empty((len(order), channels, size, size), np.uint8)
        kept: list[int] = []
        for index, picture in collection.load(order, size, channels):
            if isinstance(picture, PictureError):
                skipped[picture.message] += 1
            else:
                images[len(kept)] = picture.transpose(2, 0, 1)
                kept.append(index)
            done += 1
            if progress is not None and (done % 100 == 0 or done == total):
                progress(done, total)
        if kept:
            numbers = torch.tensor([classes.index(labels[index]) for index in kept])
            names = tuple(collection.names[index] for index in kept)
            parts[key] = Part(torch.from_numpy(images[: len(kept)]), numbers, names)
    if not parts:
        raise PictureError("Not one of the pictures can be read.", skipped.most_common(1)[0][0])
    counts = ", ".join(f"{len(part):,} to {key}" for key, part in parts.items())
    return Dataset(
        source.stem,
        classes,
        parts.get("train"),
        parts.get("validate"),
        parts.get("test"),
        skipped=skipped.total(),
        facts={"data": f"{source.stem}, {len(classes)} classes, {counts}"},
    )


def _in_folders(collection: Collection) -> None:
    """Refuse pictures that lie beside the class folders, and folders whose names no card can hold."""
    folders = {name.rpartition("/")[0] for name in collection.names}
    above = {folder.rpartition("/")[0] for folder in folders if folder} - {""}
    for name, label in zip(collection.names, collection.labels, strict=True):
        folder = name.rpartition("/")[0]
        if (not folder and len(folders) > 1) or (folder in above and label.lower() in PARTS):
            raise PictureError(
                f"The picture {name.rpartition('/')[2][:60]!r} lies beside the folders of the classes.",
                "Put it into one of them, or take it away.",
            )
        if any("\ud800" <= letter <= "\udfff" for letter in label):
            raise PictureError(f"The name of the folder {label[:40]!r} is no text.", "Give it a name in UTF-8.")


def _part_of(name: str) -> str:
    """What part a path belongs to: the first folder that names one."""
    folders = name.lower().split("/")[:-2]  # the last folder is the class
    return next((PARTS[folder] for folder in folders if folder in PARTS), "train")


def _shape(collection: Collection) -> tuple[int, int]:
    """The size to fit pictures to, and the number of channels, from a look at some."""
    step = max(1, len(collection) // _LOOKED)
    sizes, grey = set(), True
    for index in range(0, len(collection), step):
        try:
            picture = collection.read(index)
        except PictureError:
            continue
        sizes.add(min(picture.shape[:2]) if picture.shape[0] == picture.shape[1] else 0)
        grey = grey and bool((picture == picture[:, :, :1]).all())
    same = len(sizes) == 1 and 0 < max(sizes) <= 96
    return (max(sizes) if same else SIZE), (1 if grey and sizes else 3)
