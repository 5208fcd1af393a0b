"""Pictures with labels, in memory: what every reader of a data set gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch.nn import functional as F

from vizcore.errors import PictureError

Progress = Callable[[int, int], None]
"""Called with pictures read so far and in all."""


@dataclass(frozen=True)
class Part:
    """Pictures uint8 ``[N, C, H, W]`` and their labels int64 ``[N]``; ``names`` says where each came from, if known."""

    images: torch.Tensor
    labels: torch.Tensor
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def pick(self, rows: torch.Tensor) -> Part:
        """The pictures of these rows."""
        names = tuple(self.names[row] for row in rows.tolist()) if self.names else ()
        return Part(self.images[rows], self.labels[rows], names)


@dataclass(frozen=True)
class Dataset:
    """A data set that can be trained on.

    Args:
        classes: names of the labels 0, 1, 2 ...
        train, validate, test: its parts; None where the data set does not come with it.
        mean, std: one number per channel, for pictures in [0, 1].
        skipped: pictures that could not be read.
        facts: where it is from, its licence, what cards say of it.
    """

    name: str
    classes: tuple[str, ...]
    train: Part | None
    validate: Part | None = None
    test: Part | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    skipped: int = 0
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def any(self) -> Part:
        """A part that is there, for its shape."""
        part = self.train or self.validate or self.test
        if part is None:
            raise PictureError(f"The data set {self.name} has no pictures.", "Check the folder or file.")
        return part

    @property
    def channels(self) -> int:
        """1 or 3."""
        return int(self.any.images.shape[1])

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self.any.images.shape[2])


def finished(dataset: Dataset) -> Dataset:
    """``dataset``, checked, with the mean and deviation of its training pictures if it has none of its own.

    Raises:
        PictureError: fewer than two classes, or labels that no class belongs to.
    """
    if len(dataset.classes) < 2:
        raise PictureError(
            f"There is only one class in it, {dataset.classes[0][:40]!r}." if dataset.classes else "It has no classes.",
            "Put the pictures of each class into a folder of its own.",
        )
    for part in (dataset.train, dataset.validate, dataset.test):
        if part is not None and len(part):
            low, high = int(part.labels.min()), int(part.labels.max())
            if low < 0 or high >= len(dataset.classes):
                raise PictureError(
                    f"The label {low if low < 0 else high} is out of range.",
                    f"Labels are 0 to {len(dataset.classes) - 1}.",
                )
    if dataset.train is not None:
        present = int((torch.bincount(dataset.train.labels) > 0).sum())
        if present < 2:
            left = f" ({dataset.skipped} that cannot be read are left out)" if dataset.skipped else ""
            raise PictureError(
                f"There is only one class in the training pictures{left}.",
                "Put the pictures of each class into a folder.",
            )
    if dataset.mean:
        return dataset
    mean, std = statistics(dataset.any.images)
    return replace(dataset, mean=mean, std=std)


def fitted(dataset: Dataset, size: int | None, channels: int | None) -> Dataset:
    """``dataset`` with pictures of ``size`` px and so many ``channels``; None is its own.

    Grey is the luma of ITU-R BT.601.
    """

    def one(images: torch.Tensor) -> torch.Tensor:
        x = images
        if channels == 1 and x.shape[1] == 3:
            x = (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True).round().to(torch.uint8)
        x = x if size is None else scaled(x, size)
        return x.expand(-1, 3, -1, -1) if channels == 3 and x.shape[1] == 1 else x

    def whole(part: Part | None) -> Part | None:
        if part is None:
            return None
        return replace(part, images=torch.cat([one(part.images[rows]) for rows in pieces(len(part), 1000)]))

    if size in (None, dataset.size) and channels in (None, dataset.channels):
        return dataset
    return replace(
        dataset, train=whole(dataset.train), validate=whole(dataset.validate), test=whole(dataset.test), mean=(), std=()
    )


def scaled(images: torch.Tensor, size: int) -> torch.Tensor:
    """Square pictures uint8 ``[N, C, H, H]`` at ``size`` px, bilinear and antialiased."""
    if images.shape[2:] == (size, size):
        return images
    x = F.interpolate(images.float(), size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return x.round().clamp(0, 255).to(torch.uint8)


def fingerprint(dataset: Dataset) -> str:
    """A sha256 by which another data set is told from this one: classes, labels, and a thousand pictures of a part."""
    digest = hashlib.sha256(repr(dataset.classes).encode("utf-8", "replace"))
    for part in (dataset.train, dataset.validate, dataset.test):
        digest.update(b"part" if part is None else f"part {tuple(part.images.shape)}".encode())
        if part is not None:
            step = max(1, len(part) // 1000)
            digest.update(part.labels.numpy().tobytes() + part.images[::step].numpy().tobytes())
    return digest.hexdigest()


def statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of uint8 ``[N, C, H, W]``, of pixels in [0, 1]; of 10,000 pictures at most."""
    step = max(1, len(images) // 10_000)
    planes = images[::step].transpose(0, 1).flatten(1).double() / 255
    mean = tuple(round(float(value), 4) for value in planes.mean(1))
    return mean, tuple(max(round(float(value), 4), 0.01) for value in planes.std(1))


def pieces(count: int, most: int) -> Iterator[slice]:
    """The rows 0 to ``count``, ``most`` at a time."""
    return (slice(first, first + most) for first in range(0, count, most))


def split(part: Part, share: float, seed: int) -> tuple[Part, Part]:
    """``part`` in two: the second has ``share`` of each class, drawn from the seed, at least one picture of each."""
    rng = torch.Generator().manual_seed(seed)
    held = torch.zeros(len(part), dtype=torch.bool)
    for label in range(int(part.labels.max()) + 1):
        rows = torch.nonzero(part.labels == label)[:, 0]
        if not len(rows):
            continue
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        held[rows[torch.randperm(len(rows), generator=rng)[:count]]] = True
    return part.pick(torch.nonzero(~held)[:, 0]), part.pick(torch.nonzero(held)[:, 0])
