"""The one function that every engine runs: some channels of one layer, from a spec to tiles."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vizcore.atlas import evidence, manifest
from vizcore.atlas.evidence import Evidence
from vizcore.atlas.head import Head
from vizcore.atlas.store import Store, open_store, tile_name
from vizcore.errors import EngineError, ExportError, ModelError, PictureError, StorageError, VizcoreError

if TYPE_CHECKING:
    from vizcore.spec import RunSpec
    from vizcore.zoo.load import Network

TRIES = 3
WIDTH = 16  # channels at once; on CPUs a picture costs half of what it does alone, and no less beyond
FATAL = (ExportError, StorageError, ModelError, PictureError)  # what no other channel would be spared


@dataclass(frozen=True)
class Work:
    """What all shards of a job share; all that travels to a worker beside the shard.

    Args:
        place: of the store.
        threads: of the CPU that a worker may use.
        evidence: what is gathered beside the tiles.
    """

    head: Head
    place: str
    device: str = "cpu"
    threads: int = 1
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def width(self) -> int:
        """Channels that go through the network at once; one where bytes must not depend on the company."""
        return 1 if self.head.exact else WIDTH


@dataclass(frozen=True)
class Shard:
    """Channels of one layer, and the seconds that they are thought to take.

    Args:
        parts: of the evidence of these channels, or its survey; tiles if empty.
    """

    layer: str
    channels: tuple[int, ...]
    seconds: float = 0.0
    parts: tuple[str, ...] = ()


Report = dict[str, Any]
"""``channel`` and what :data:`vizcore.atlas.manifest.Unit` says, or ``channel``, ``part`` and its ``address`` or
``error``; or ``doing``, the channels that are begun."""


def render_shard(work: Work, shard: Shard, report: Callable[[Report], None] = lambda report: None) -> list[Report]:
    """Render what is not there yet of a shard; returns, and reports as they come, what became of its channels.

    Shards of evidence are gathered (:mod:`vizcore.atlas.gather`).  Of tiles, a batch that fails is rendered one by one;
    a channel that fails three times is reported with its error.

    Raises:
        ModelError: the network cannot be had here, or has other weights.
        PictureError: the pictures cannot be had here, or are others.
        ExportError, StorageError: tiles cannot be written.
    """
    if shard.parts:
        from vizcore.atlas.gather import gather

        return gather(work, shard, report)
    store, network = open_store(work.place), opened(work)
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
    except FATAL:
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
    from vizcore.ascent import ahead, ascend, score
    from vizcore.engine import devices

    head = work.head
    spec = head.spec(layer, channels)
    began = time.perf_counter()
    on_the_way = _shown(spec.steps)
    ascent = ascend(spec, network, device=work.device, exact=head.exact, keep=lambda step: step in on_the_way)
    kept: dict[int, Any] = {}
    last = None
    for last in ahead(ascent):
        if last.images is not None:
            kept[last.step] = last.images
    if last is None or last.images is None:
        raise EngineError("The ascent kept no picture.", "This is a bug in vizcore.")
    with repeatable(torch.device(work.device)) if head.exact else contextlib.nullcontext():
        scores = {
            step: score(spec, network, torch.from_numpy(images.copy()).permute(0, 3, 1, 2).float() / 255).tolist()
            for step, images in kept.items()
        }
        peaks = _peaks(spec, network, last.images)
    facts = {**devices.environment(work.device, head.exact), "precision": ascent.precision}
    if head.exact:
        facts["threads"] = 1
    seconds = (time.perf_counter() - began) / len(channels)
    for row, channel in enumerate(channels):
        start, end = (_number(scores[step][row]) for step in (min(kept), last.step))
        said = {"start": start, "end": end, "peak": _number(peaks[row]), "status": last.status[row]}
        address = head.address(layer, channel)
        steps = [
            {"step": step, "score": _number(scores[step][row]), "picture": _small(images[row])}
            for step, images in kept.items()
        ]
        store.write(evidence.file_of(address), evidence.pack({"steps": steps}))  # first: what has a tile has these
        one = head.spec(layer, (channel,))
        recipe = export.Recipe(one, last.step, (), channel, head.weights_hash, extra={**facts, **said})
        store.write(tile_name(address), export.png_bytes(np.ascontiguousarray(last.images[row]), recipe))
        tell({"channel": channel, "tile": address, **said, "seconds": round(seconds, 4)})


def _peaks(spec: RunSpec, network: Network, images: Any) -> list[float]:
    """The highest activation of each row's channel in its picture ``[N, H, W, C]``, as real pictures are judged."""
    import torch

    from vizcore.layers import Cut
    from vizcore.look.units import Unit, normalised

    with torch.no_grad():
        output = Cut(network.module, (spec.layer,))(normalised(network, images))[spec.layer]
        if output.ndim not in (2, 4):  # tokens: nor are real pictures judged by them
            return [float("nan")] * len(images)
        return [float(Unit(spec.layer, one).score(output)[row]) for row, one in enumerate(spec.channels)]


def _shown(steps: int) -> set[int]:
    """The steps whose pictures are kept: the first, the last, and powers of four, since most happens early."""
    return {0, steps, *(4**power for power in range(1, 8) if 4**power < steps)}


def _small(image: Any) -> str:
    """A picture ``[H, W, 1 to 4]`` of an ascent; where it is clear, on neutral grey."""
    import numpy as np

    from vizcore.export import GREY

    colours, opacity = image, None
    if image.shape[2] in (2, 4):
        colours, opacity = image[:, :, :-1], image[:, :, -1:].astype(np.float32) / 255
    colours = np.repeat(colours, 3, 2) if colours.shape[2] == 1 else colours
    if opacity is not None:
        colours = (colours * opacity + GREY * (1 - opacity)).round().astype(np.uint8)
    return evidence.inline(np.ascontiguousarray(colours), evidence.STEPS_SIDE)


def _number(value: float) -> float | None:
    return round(value, 6) if value == value and abs(value) != float("inf") else None


def opened(work: Work) -> Network:
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
