"""What excites each channel of a layer, counted in one pass over a collection of pictures.

For each channel the nine pictures with the highest activation are kept, each at the position of its highest (one entry
per picture, as in Zeiler & Fergus 2014, figure 2), and what the channel does on the whole: a histogram, how often it is
off, and how it tells classes apart.  Memory does not grow with the number of pictures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vizcore.arithmetic import like
from vizcore.errors import LayerError, PictureError
from vizcore.layers import Cut, find_layer
from vizcore.look import store
from vizcore.look.collections import Collection
from vizcore.look.display import Values
from vizcore.look.pictures import Picture
from vizcore.look.units import device, normalised
from vizcore.zoo.load import Network

TOP = 9
BINS = 64
SAVE_EVERY = 10.0  # seconds between two savings of what is known
_POSITIONS = 256  # of a map go into the histogram at most: every nth
_BATCH_PIXELS = 600_000  # in a batch, so that its activations stay below about 100 MB in the usual networks
_NAMED = 10  # broken pictures whose names are kept


@dataclass
class Record:
    """What is known of a layer after ``done`` pictures; C channels, K places, B bins, L classes.

    Args:
        values, items, ys, xs: of the most exciting patches, ``[C, K]``, the highest first: activation, number of the
            picture (-1: none yet), and position in the map.
        total: positions that were seen, of each channel.
        sums: of the activation over all positions ``[C]``.
        off: how many positions were at or below 0 ``[C]``.
        low, high: the range of the histogram; what is beyond is counted in its first or last bin.
        histogram: of the activation ``[C, B]``, over evenly chosen positions.
        class_sums: sum over the pictures of a class of the mean positive activation ``[L, C]``; ``class_counts`` [L].
        broken: pictures that could not be read, by name (the first ten) with the reason; ``skipped`` counts all.
    """

    values: Values
    items: NDArray[np.int32]
    ys: NDArray[np.int16]
    xs: NDArray[np.int16]
    sums: NDArray[np.float64]
    off: NDArray[np.int64]
    histogram: NDArray[np.int64]
    class_sums: NDArray[np.float64]
    class_counts: NDArray[np.int64]
    low: float = 0.0
    high: float = 0.0
    total: int = 0
    done: int = 0
    skipped: int = 0
    broken: dict[str, str] = field(default_factory=dict)

    @classmethod
    def empty(cls, channels: int, classes: int, places: int = TOP) -> Record:
        """Of no pictures."""
        shape = (channels, places)
        return cls(
            np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int32), np.zeros(shape, np.int16),
            np.zeros(shape, np.int16), np.zeros(channels), np.zeros(channels, np.int64),
            np.zeros((channels, BINS), np.int64), np.zeros((classes, channels)), np.zeros(classes, np.int64),
        )  # fmt: skip

    def check(self, channel: int) -> None:
        """Raise :class:`LayerError` if there is no such channel."""
        if not 0 <= channel < len(self.values):
            raise LayerError(f"There is no filter {channel}.", f"Choose filters from 0 to {len(self.values) - 1}.")

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Which channels never rose above 0."""
        dead: NDArray[np.bool_] = self.values[:, 0] <= 0
        return dead

    @property
    def sparsity(self) -> NDArray[np.float64]:
        """The share of positions at or below 0, ``[C]``."""
        return self.off / max(self.total, 1)

    def selectivity(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """How each channel tells one class from the others, ``[C]`` in [0, 1], and which class it prefers.

        (m - n) / (m + n), where m is the mean activation of the best class and n that of all others (Morcos et al.
        2018, arXiv:1803.06959).  0 where there are fewer than two classes.
        """
        known = self.class_counts > 0
        if known.sum() < 2:
            return np.zeros(len(self.values)), np.full(len(self.values), -1, np.int64)
        means = self.class_sums[known] / self.class_counts[known, None]
        best = means.argmax(0)
        top = means.max(0)
        rest = (means.sum(0) - top) / (len(means) - 1)
        index = (top - rest) / np.maximum(top + rest, 1e-12)
        return index, np.flatnonzero(known)[best]


@dataclass(frozen=True)
class Progress:
    """How far a tally is."""

    done: int
    total: int
    skipped: int


class Tally:
    """One pass over a collection, in a shuffled order that is always the same; going on means asking for the next.

    Whoever stops asking keeps what is known: it is saved from time to time, and a tally of the same network, layer and
    data goes on from there.

    Args:
        network: its values are not changed.
        layer: whose channels are recorded.
        size: that the pictures are fitted to; the network's own if not given.
        keep: whether to save and to go on from what was saved.
        watch: called with the activations of each batch, ``[N, C, positions]``.

    Raises:
        LayerError, SpecError: the layer is not there or the size is too small.
    """

    def __init__(
        self, network: Network, collection: Collection, layer: str, size: int | None = None, *, keep: bool = True,
        watch: Callable[[Tensor], None] | None = None,
    ) -> None:  # fmt: skip
        self.network, self.collection, self._watch = network, collection, watch
        self.layer = find_layer(network, layer, size)
        self.size = size or network.card.size
        self.classes = tuple(sorted(set(collection.labels)))
        self.order = np.random.default_rng(0).permutation(len(collection))
        self._key = store.key(network.card, layer, self.size, collection.fingerprint) if keep else ""
        self._about = store.about(
            network.card, layer, self.size, collection.source, collection.only, len(collection)
        )  # fmt: skip
        known = store.load(self._key, self.layer.channels, len(self.classes)) if keep else None
        self.record: Record = known or Record.empty(self.layer.channels, len(self.classes))
        self._labels = np.array([self.classes.index(label) for label in collection.labels])
        like(network.module, device(network))
        self._cut = Cut(network.module, [layer])

    @property
    def finished(self) -> bool:
        """Whether all pictures were seen."""
        return self.record.done >= len(self.collection)

    def __iter__(self) -> Generator[Progress, None, None]:
        """Goes on from where the record is; yields after each batch.

        Raises:
            PictureError: not one picture can be read.
        """
        batch = int(np.clip(_BATCH_PIXELS // self.size**2, 4, 128))
        saved = time.monotonic()
        taken: list[tuple[int, Picture]] = []
        record = self.record
        rest = self.order[record.done :].tolist()
        try:
            for count, (index, picture) in enumerate(
                self.collection.load(rest, self.size, self.network.card.channels), record.done + 1
            ):
                if isinstance(picture, PictureError):
                    record.skipped += 1
                    if len(record.broken) < _NAMED:
                        record.broken[self.collection.names[index]] = picture.message
                else:
                    taken.append((index, picture))
                if len(taken) == batch or count == len(self.order):
                    if taken:
                        self._add([index for index, _ in taken], np.stack([pixels for _, pixels in taken]))
                    taken = []
                    record.done = count
                    yield Progress(count, len(self.order), record.skipped)
                    if self._key and time.monotonic() - saved > SAVE_EVERY:
                        store.save(self._key, record, self._about)
                        saved = time.monotonic()
        finally:
            if self._key and record.done:
                store.save(self._key, record, self._about)
        if record.skipped == len(self.collection):
            raise PictureError("Not one of the pictures can be read.", "Give a folder with PNG, JPEG or WebP files.")

    def forget(self) -> None:
        """Begin anew, whatever was kept."""
        self.record = Record.empty(self.layer.channels, len(self.classes))

    def run(self) -> Record:
        """Go to the end."""
        for _ in self:
            pass
        return self.record

    def _add(self, indices: list[int], fitted: Picture) -> None:
        with torch.no_grad():
            output = self._cut(formatted(normalised(self.network, fitted)))[self.layer.path].float()
        maps = output if output.ndim == 4 else output[:, :, None, None]
        width = maps.shape[3]
        flat = maps.flatten(2)  # [N, C, positions]
        if self._watch is not None:
            self._watch(flat)
        best, where = flat.max(2)
        record = self.record
        self._merge(best.T.cpu(), where.T.cpu(), indices, width)
        record.total += flat.shape[0] * flat.shape[2]
        record.sums += flat.sum((0, 2), dtype=torch.float64).cpu().numpy()
        record.off += (flat <= 0).sum((0, 2)).cpu().numpy()
        self._count(flat)
        labels = self._labels[indices]
        np.add.at(record.class_sums, labels, flat.clamp(min=0).mean(2).double().cpu().numpy())
        np.add.at(record.class_counts, labels, 1)

    def _merge(self, best: Tensor, where: Tensor, indices: list[int], width: int) -> None:
        """Put a batch's peaks ``[C, N]`` among the highest."""
        record = self.record
        places = record.values.shape[1]
        items = torch.tensor(indices, dtype=torch.int32).expand(best.shape[0], -1)
        columns = {
            "values": best,
            "items": items,
            "ys": (where // width).to(torch.int16),
            "xs": (where % width).to(torch.int16),
        }
        joined = {name: torch.cat([torch.from_numpy(getattr(record, name)), new], 1) for name, new in columns.items()}
        order = torch.argsort(joined["values"], dim=1, descending=True, stable=True)[:, :places]
        for name, values in joined.items():
            setattr(record, name, values.gather(1, order).numpy())

    def _count(self, flat: Tensor) -> None:
        record = self.record
        if record.high <= record.low:  # the first batch sets the range, with room above
            low, high = float(flat.min()), float(flat.max())
            record.low, record.high = min(0.0, 1.5 * low), max(1.5 * high, 1e-6)
        some = flat[:, :, :: -(-flat.shape[2] // _POSITIONS)]
        bins = ((some - record.low) * (BINS / (record.high - record.low))).clamp_(0, BINS - 1).long()
        bins += BINS * torch.arange(flat.shape[1], device=flat.device)[:, None]
        record.histogram += torch.bincount(bins.flatten(), minlength=record.histogram.size).view(-1, BINS).cpu().numpy()


def formatted(z: Tensor) -> Tensor:
    """As the device's convolutions like it."""
    return z if z.device.type == "mps" else z.contiguous(memory_format=torch.channels_last)
