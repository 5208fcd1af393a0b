"""The shards of evidence: a survey of a layer over the pictures, then the parts of each filter from it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from vizcore.atlas import evidence
from vizcore.atlas.evidence import SURVEY, Evidence, inline
from vizcore.atlas.shard import FATAL, TRIES, Report, Shard, Work, as_dict, opened
from vizcore.atlas.store import Store, open_store
from vizcore.errors import LayerError, PictureError
from vizcore.layers import Views, find_views
from vizcore.look import deconvnet, display, similar, wiring
from vizcore.look import store as records
from vizcore.look.collections import Collection, collect
from vizcore.look.patches import Patch, patches
from vizcore.look.tally import Tally
from vizcore.look.wiring import Wiring

SOURCES = 16  # of the inputs of a filter, the strongest that are listed
Tell = Callable[[Report], None]
Neighbours = list[list[tuple[int, float]]]


def gather(work: Work, shard: Shard, report: Tell) -> list[Report]:
    """Make what is not there yet of the parts of a shard, or the survey of its layer.

    Raises:
        ModelError, PictureError: the network or the pictures cannot be had here, or are others.
        ExportError, StorageError: parts cannot be written.
    """
    found: list[Report] = []

    def tell(one: Report) -> None:
        found.append(one)
        report(one)

    store, layer = open_store(work.place), _Layer(work, shard.layer)
    if shard.parts == (SURVEY,):
        layer.survey()
        return found
    for channel in shard.channels:
        left = []
        for part in shard.parts:
            name = evidence.address(work.head, part, shard.layer, channel, work.evidence.fingerprint)
            data = store.read(evidence.file_of(name))
            if data is None:
                left.append(part)
            else:
                scores = evidence.scores_in(part, data)
                tell({"channel": channel, "part": part, "address": name, "scores": scores})
        if left:
            report({"doing": [channel]})
            for part in left:
                tell({"channel": channel, "part": part, **_insist(work, layer, part, channel, store)})
    return found


def _insist(work: Work, layer: _Layer, part: str, channel: int, store: Store) -> Report:
    """One part of one filter, three times if need be."""
    error: Exception | None = None
    for _ in range(TRIES):
        began = time.perf_counter()
        try:
            document = layer.document(part, channel)
        except FATAL:
            raise
        except Exception as failure:
            error = failure
            continue
        name = evidence.address(work.head, part, layer.path, channel, work.evidence.fingerprint)
        store.write(evidence.file_of(name), evidence.pack(document))
        scores = evidence.scores(part, document)
        return {"address": name, "scores": scores, "seconds": round(time.perf_counter() - began, 4)}
    assert error is not None
    return {"error": as_dict(error), "tries": TRIES}


class _Layer:
    """What the parts of a layer's filters are made from, each found when it is first asked for."""

    def __init__(self, work: Work, path: str) -> None:
        self.path = path
        self._work = work
        self._network = opened(work).to(work.device)
        self._broken: Exception | None = None  # what went wrong with the survey: it is not tried for every filter

    def document(self, part: str, channel: int) -> dict[str, Any]:
        """The content of a part."""
        made: dict[str, Any] = getattr(self, f"_{part}")(channel)
        return made

    def survey(self) -> None:
        """See to it that the survey is in the store; what goes wrong with it is told with each filter."""
        try:
            self._tally  # noqa: B018
        except FATAL:
            raise
        except Exception as error:
            self._broken = error

    @property
    def _tally(self) -> Tally:
        """What excites the channels: as it lies in the store, or from a pass over the pictures."""
        return self._survey[0]

    @cached_property
    def _survey(self) -> tuple[Tally, Neighbours]:
        if self._broken is not None:
            raise self._broken
        try:
            return self._look()
        except Exception as error:
            self._broken = error
            raise

    def _look(self) -> tuple[Tally, Neighbours]:
        work, given = self._work, self._work.evidence
        store = open_store(work.place)
        name = evidence.survey_of(work.head, self.path, given.fingerprint)
        collection = _collection(given)
        tally = Tally(self._network, collection, self.path, keep=False)
        data = store.read(name)
        known = None if data is None else _parse(data, tally)
        if known is not None:
            tally.record, neighbours = known
            return tally, neighbours
        moments = similar.Correlation(tally.layer.channels)
        tally = Tally(self._network, collection, self.path, keep=False, watch=moments.add)
        tally.run()
        neighbours = similar.nearest(moments.matrix())
        store.write(name, _pack(tally, neighbours))
        return tally, neighbours

    @cached_property
    def _views(self) -> Sequence[Views | None]:
        return find_views(self._network, self.path, self._tally.size)

    @cached_property
    def _wires(self) -> Wiring:
        return wiring.trace(self._network)

    def _found(self, channel: int, rule: deconvnet.Rule | None) -> list[Patch]:
        return patches(self._tally, channel, rule, views=self._views)

    def _patches(self, channel: int) -> dict[str, Any]:
        record = self._tally.record
        index, best = record.selectivity()
        return {
            "pictures": record.done - record.skipped,
            "highest": float(record.values[channel, 0]), "mean": float(record.sums[channel] / max(record.total, 1)),
            "off": float(record.sparsity[channel]), "dead": bool(record.dead[channel]),
            "selectivity": float(index[channel]),
            "class": self._tally.classes[best[channel]] if best[channel] >= 0 else "",
            "patches": [
                {"name": one.name, "label": one.label, "value": one.value, "picture": inline(one.pixels)}
                for one in self._found(channel, None)
            ],
        }  # fmt: skip

    def _deconv(self, channel: int) -> dict[str, Any]:
        why = deconvnet.why_not(self._network.module, "deconv")
        if why:
            return {"why": why}
        found = self._found(channel, "deconv")
        return {
            "intercepted": found[0].intercepted if found else None,
            "patches": [
                {"picture": inline(display.relevance(one.projection))} for one in found if one.projection is not None
            ],
        }

    def _similar(self, channel: int) -> dict[str, Any]:
        record = self._tally.record
        neighbours = [[other, round(value, 4)] for other, value in self._survey[1][channel]]
        return {"pictures": record.done - record.skipped, "neighbours": neighbours}

    def _weights(self, channel: int) -> dict[str, Any]:
        try:
            made = wiring.kernels_of(self._network, self._wires, self.path, channel)
        except LayerError as error:
            return {"why": error.message}
        return {"kernels": [_kernel(layer, number, sources) for (layer, number), sources in made]}


def _kernel(layer: str, channel: int, sources: Sequence[wiring.Source]) -> dict[str, Any]:
    """A convolution's filter: its strongest inputs, on one scale, and its colours if it sees the picture."""
    energy = sum(source.norm**2 for source in sources) or 1.0
    strongest = sources[:SOURCES]
    stacked = np.stack([source.kernel for source in strongest])[:, None]
    document: dict[str, Any] = {
        "layer": layer, "channel": channel, "inputs": len(sources),
        "sources": [
            {
                "origins": [list(origin) for origin in source.origins], "norm": round(source.norm, 6),
                "sum": round(source.total, 6), "share": round(source.norm**2 / energy, 6), "picture": inline(cell),
            }
            for source, cell in zip(strongest, display.signed(stacked), strict=True)
        ],
    }  # fmt: skip
    colours = {origin[1]: one.kernel for one in sources for origin in one.origins if origin[0] == wiring.PICTURE}
    if len(colours) == len(sources) == 3:
        document["picture"] = inline(display.signed(np.stack([colours[c] for c in range(3)])[None])[0])
    return document


@lru_cache(maxsize=1)
def _collection(given: Evidence) -> Collection:
    """The pictures of a job, as this worker sees them."""
    try:
        collection = collect(given.data, given.only)
    except PictureError as error:
        raise PictureError(f"A worker cannot open the pictures: {error.message}", error.hint) from None
    if collection.fingerprint != given.fingerprint:
        raise PictureError("A worker has other pictures than this machine.", "Give all the same zip or folder.")
    return collection


def _pack(tally: Tally, neighbours: Neighbours) -> bytes:
    stream = io.BytesIO()
    width = max((len(row) for row in neighbours), default=0)
    others = np.full((len(neighbours), width), -1, np.int32)
    values = np.zeros((len(neighbours), width), np.float32)
    for channel, row in enumerate(neighbours):
        for place, (other, value) in enumerate(row):
            others[channel, place], values[channel, place] = other, value
    record = np.frombuffer(records.to_bytes(tally.record), np.uint8)
    np.savez(stream, record=record, others=others, values=values)
    return stream.getvalue()


def _parse(data: bytes, tally: Tally) -> tuple[Any, Neighbours] | None:
    """The record and the neighbours of a survey; None if it is damaged."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            record = records.from_file(io.BytesIO(file["record"].tobytes()), tally.layer.channels, len(tally.classes))
            others, values = file["others"], file["values"]
    except records.DAMAGED:
        return None
    if record is None or len(others) != tally.layer.channels:
        return None
    return record, [
        [(int(other), float(value)) for other, value in zip(*pair, strict=True) if other >= 0]
        for pair in zip(others, values, strict=True)
    ]
