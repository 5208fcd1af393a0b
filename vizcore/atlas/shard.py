"""The one function that every engine runs: some channels of one layer, from a spec to tiles."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vizcore.atlas import manifest
from vizcore.atlas.head import Head
from vizcore.atlas.store import Store, open_store, tile_name
from vizcore.errors import EngineError, ExportError, ModelError, StorageError, VizcoreError

if TYPE_CHECKING:
    from vizcore.zoo.load import Network

TRIES = 3
WIDTH = 16  # channels at once; on CPUs a picture costs half of what it does alone, and no less beyond
_FATAL = (ExportError, StorageError, ModelError)  # what no other channel would be spared


@dataclass(frozen=True)
class Work:
    """What all shards of a job share; all that travels to a worker beside the shard.

    Args:
        place: of the store.
        threads: of the CPU that a worker may use.
    """

    head: Head
    place: str
    device: str = "cpu"
    threads: int = 1

    @property
    def width(self) -> int:
        """Channels that go through the network at once; one where bytes must not depend on the company."""
        return 1 if self.head.exact else WIDTH


@dataclass(frozen=True)
class Shard:
    """Channels of one layer, and the seconds that they are thought to take."""

    layer: str
    channels: tuple[int, ...]
    seconds: float = 0.0


Report = dict[str, Any]
"""``channel`` and what :data:`vizcore.atlas.manifest.Unit` says; or ``doing``, the channels that are begun."""


def render_shard(work: Work, shard: Shard, report: Callable[[Report], None] = lambda report: None) -> list[Report]:
    """Render what is not there yet of a shard; returns, and reports as they come, what became of its channels.

    A batch that fails is rendered one by one; a channel that fails three times is reported with its error.

    Raises:
        ModelError: the network cannot be had here, or has other weights.
        ExportError, StorageError: tiles cannot be written.
    """
    store, network = open_store(work.place), _network(work)
    found: list[Report] = []

    def tell(one: Report) -> None:
        found.append(one)
        report(one)

    left = []
    for channel in shard.channels:  # a shard may come again, after its worker was lost
        address = work.head.address(shard.layer, channel)
        data = store.read(tile_name(address))
        if data is None:
            left.append(channel)
        else:
            tell({"channel": channel, **manifest.unit_of(address, data)})
    for at in range(0, len(left), work.width):
        batch = tuple(left[at : at + work.width])
        report({"doing": list(batch)})
        error = _attempt(work, shard.layer, batch, network, store, tell)
        if error is None:
            continue
        known = {one["channel"] for one in found}
        for channel in batch:
            if channel not in known:
                _insist(work, shard.layer, channel, network, store, tell, report)
    return found


def _insist(
    work: Work, layer: str, channel: int, network: Network, store: Store,
    tell: Callable[[Report], None], report: Callable[[Report], None],
) -> None:  # fmt: skip
    """One channel alone, three times if need be."""
    report({"doing": [channel]})
    error: Exception | None = None
    for _ in range(TRIES):
        error = _attempt(work, layer, (channel,), network, store, tell)
        if error is None:
            return
    assert error is not None
    tell({"channel": channel, "error": as_dict(error), "tries": TRIES})


def as_dict(error: Exception) -> dict[str, str]:
    """Any error as ``kind``, ``message`` and ``hint``."""
    if isinstance(error, VizcoreError):
        return error.to_dict()
    text = str(error).splitlines()[0][:200] if str(error) else "no reason given"
    return {"kind": type(error).__name__, "message": text, "hint": "Try this filter alone with vizcore render."}


def _attempt(
    work: Work, layer: str, channels: tuple[int, ...], network: Network, store: Store, tell: Callable[[Report], None]
) -> Exception | None:
    """Render channels together; what went wrong is returned, unless it would go wrong with all others."""
    try:
        _render(work, layer, channels, network, store, tell)
    except _FATAL:
        raise
    except Exception as error:
        return error
    return None


def _render(
    work: Work, layer: str, channels: tuple[int, ...], network: Network, store: Store, tell: Callable[[Report], None]
) -> None:
    import numpy as np
    import torch

    from vizcore import export
    from vizcore.arithmetic import repeatable
    from vizcore.ascent import ascend, score
    from vizcore.engine import devices

    head = work.head
    spec = head.spec(layer, channels)
    began = time.perf_counter()
    ascent = ascend(
        spec, network, device=work.device, exact=head.exact, keep=lambda step: step in (0, spec.steps)
    )  # fmt: skip
    first = last = frame = next(ascent)
    for frame in ascent:
        last = frame
    if first.images is None or last.images is None:
        raise EngineError("The ascent kept no picture.", "This is a bug in vizcore.")
    with repeatable(torch.device(work.device)) if head.exact else contextlib.nullcontext():
        both = [
            score(spec, network, torch.from_numpy(images.copy()).permute(0, 3, 1, 2).float() / 255).numpy()
            for images in (first.images, last.images)
        ]
    facts = {**devices.environment(work.device, head.exact), "precision": ascent.precision}
    if head.exact:
        facts["threads"] = 1
    seconds = (time.perf_counter() - began) / len(channels)
    for row, channel in enumerate(channels):
        start, end = (float(value[row]) for value in both)
        said = {"start": _number(start), "end": _number(end), "status": last.status[row]}
        address = head.address(layer, channel)
        one = head.spec(layer, (channel,))
        recipe = export.Recipe(one, last.step, (), channel, head.weights_hash, extra={**facts, **said})
        store.write(tile_name(address), export.png_bytes(np.ascontiguousarray(last.images[row]), recipe))
        tell({"channel": channel, "tile": address, **said, "seconds": round(seconds, 4)})


def _number(value: float) -> float | None:
    return round(value, 6) if value == value and abs(value) != float("inf") else None


def _network(work: Work) -> Network:
    """The network of a job, ready on this worker."""
    import torch

    from vizcore.memory import keep_freed

    keep_freed()
    torch.set_num_threads(1 if work.head.exact else max(1, work.threads))
    network = _load(work.head.model, work.head.arch)
    if network.card.weights_hash != work.head.weights_hash:
        raise ModelError(
            f"A worker has other weights of {work.head.model[:60]} than this machine.", "Give all the same files."
        )
    return network


@functools.lru_cache(maxsize=1)
def _load(model: str, arch: str | None) -> Network:
    from vizcore.zoo.load import load

    return load(model, arch, allow_factory=True)
