"""What is to be rendered: layers by pattern, the channels that are missing, and shards of them."""

from __future__ import annotations

import difflib
import fnmatch
import re
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vizcore.atlas.evidence import FROM_PICTURES, PARTS, SURVEY
from vizcore.atlas.manifest import Manifest
from vizcore.atlas.shard import Shard, Work
from vizcore.errors import LayerError, SpecError

if TYPE_CHECKING:
    from vizcore.layers import Layer
    from vizcore.zoo.load import Network

WEIGHTED = ("conv", "linear")  # kinds of the layers that are taken if none are named: those with weights of their own
START = 10.0  # seconds of work for which another process is worth its start, which takes 3 to 5 of a core
MOST = 8  # processes unless told: some machines lend fewer cores than they show
PROCESS, SHARE = 700e6, 0.7  # bytes of a process with torch; the share of the free memory that processes may have
SHORTEST, LONGEST = 30.0, 90.0  # seconds of a shard: long enough not to count, short enough to lose


def choose_layers(network: Network, pattern: str, size: int) -> list[tuple[int, Layer]]:
    """The layers whose path or kind matches one of the patterns, with their places in the network.

    Args:
        pattern: such as ``"layer3.*, conv1"`` or ``"relu"``; if empty, every convolution and dense layer.

    Raises:
        LayerError: nothing matches; the nearest names are in the hint.
        SpecError: the network does not take pictures of this size.
    """
    from vizcore.layers import list_in_order

    layers = list(enumerate(list_in_order(network, size)))
    wanted = [part.strip() for part in pattern.split(",") if part.strip()]
    if not wanted:
        return [(order, layer) for order, layer in layers if layer.kind in WEIGHTED]
    chosen: dict[int, Layer] = {}
    for part in wanted:
        hits = {
            order: layer for order, layer in layers if layer.kind == part or fnmatch.fnmatchcase(layer.path, part)
        }  # fmt: skip
        if not hits:
            names = [layer.path for _, layer in layers]
            near = difflib.get_close_matches(part, names, 3, 0.4)
            hint = f"Did you mean {' or '.join(near)}?" if near else "See vizcore layers for the names."
            raise LayerError(f"No layer matches {part[:60]!r}.", hint)
        chosen |= hits
    return sorted(chosen.items())


def parse_channels(text: str) -> list[range]:
    """Ranges of filters from a list such as ``"0-63, 100"``; of any number, unlike those of one run.

    Raises:
        SpecError: an empty or malformed list.
    """
    hint = 'Write numbers and ranges, such as "0-63, 100".'
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,7})(?:\s*-\s*(\d{1,7}))?", part.strip(), re.ASCII)
        if match is None:
            raise SpecError(f"The list of filters has {part.strip()[:40]!r} in it.", hint)
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise SpecError(f"The range {part.strip()!r} runs backwards.", hint)
        found.append(range(first, last + 1))
    return found


def channels_of(layer: Layer, ranges: Sequence[range] | None) -> list[int]:
    """The chosen channels that the layer has; all if nothing is chosen."""
    if ranges is None:
        return list(range(layer.channels))
    return sorted({channel for one in ranges for channel in range(one.start, min(one.stop, layer.channels))})


@dataclass(frozen=True)
class Wanted:
    """A layer of the job: its manifest, and the channels that it is to have."""

    manifest: Manifest
    channels: tuple[int, ...]


def wanted(chosen: Sequence[tuple[int, Layer]], ranges: Sequence[range] | None) -> list[Wanted]:
    """What is to be there at the end; layers that have none of the channels are left out.

    Raises:
        LayerError: no layer has any of the channels.
    """
    found = []
    for order, layer in chosen:
        channels = channels_of(layer, ranges)
        if channels:
            facts: dict[str, Any] = {key: getattr(layer, key) for key in ("kind", "channels", "height", "width")}
            manifest = Manifest(layer.path, order=order, receptive_field=layer.receptive_field, **facts)
            found.append(Wanted(manifest, tuple(channels)))
    if not found:
        most = max(layer.channels for _, layer in chosen)
        raise LayerError("No layer has any of these filters.", f"Choose filters from 0 to {most - 1}.")
    return found


def team(network: Network, size: int, device: str, cores: int, width: int) -> int:
    """How many processes render at once unless told: one for each GPU, else one for each core, up to :data:`MOST`.

    As far as memory allows.  On CPUs two processes of one thread make 1.3 times what one of two makes.

    Args:
        width: channels that go through the network at once.
    """
    import torch

    from vizcore.engine import devices
    from vizcore.layers import list_in_order

    if device == "cuda":
        return torch.cuda.device_count()
    free = devices.free_memory()
    if free is None:
        return 1
    weights = sum(parameter.numel() for parameter in network.module.parameters())
    layers = list_in_order(network, size)
    values = sum(layer.channels * layer.height * layer.width for layer in layers if layer.kind in WEIGHTED)
    each = PROCESS + 8 * weights + 8 * width * values  # weights as they are and folded; activations and gradients
    return max(1, min(cores, MOST, int(SHARE * free / each)))


def worth(missing: Sequence[tuple[str, Sequence[int]]], cost: dict[str, float], workers: int) -> int:
    """How many of the processes a job shall be cut for: a short one takes no longer in fewer."""
    total = sum(cost[layer] * len(channels) for layer, channels in missing)
    return max(1, min(workers, int(total / START)))


def cut(
    missing: Sequence[tuple[str, Sequence[int]]], cost: dict[str, float], workers: int, width: int,
    most: float | None = None,
) -> list[Shard]:  # fmt: skip
    """Shards of one layer each, largest first, in whole batches where the time allows.

    Args:
        cost: seconds per channel, by layer.
        most: seconds of a shard; by itself 30 to 90 s, so that each worker gets four or more if there is so much to do,
            and less if a worker would have none otherwise.
    """
    total = sum(cost[layer] * len(channels) for layer, channels in missing)
    if most is None:
        most = min(max(SHORTEST, min(LONGEST, total / (4 * workers))), total / workers)
    shards = []
    for layer, channels in missing:
        count = max(1, int(most / max(cost[layer], 1e-9)))
        if count > width:
            count -= count % width
        parts = -(-len(channels) // count)
        if width > 1:  # batches of 16 cost less per picture than smaller ones
            batches = -(-len(channels) // width)
            parts = min(parts, batches) if cost[layer] * width <= LONGEST else parts
        size = -(-len(channels) // max(1, parts))
        if size > width:
            size = -(-size // width) * width
        for at in range(0, len(channels), size):
            part = tuple(channels[at : at + size])
            shards.append(Shard(layer, part, len(part) * cost[layer]))
    return sorted(shards, key=lambda shard: shard.seconds, reverse=True)


def cut_parts(
    missing: Sequence[tuple[str, dict[str, list[int]]]], cost: dict[str, tuple[float, float]], workers: int,
    surveyed: Container[str] = (), most: float | None = None,
) -> list[Shard]:  # fmt: skip
    """Shards of evidence, largest first; those of a layer that is not surveyed yet begin with its survey.

    Args:
        missing: of each layer, the channels that have yet to get each part.
        cost: of each layer, seconds of its survey, and seconds per channel of its parts.
        surveyed: the layers whose survey is there.
    """
    shards = []
    for layer, left in missing:
        parts = tuple(part for part in PARTS if left.get(part))
        channels = sorted({channel for part in parts for channel in left[part]})
        survey, each = cost[layer]
        if layer not in surveyed and any(part in FROM_PICTURES for part in parts):
            shards.append(Shard(layer, (), survey, (SURVEY,)))
        total = each * len(channels)
        longest = most if most is not None else min(LONGEST, max(SHORTEST, total / workers))
        count = max(1, int(longest / max(each, 1e-9)))
        for at in range(0, len(channels), count):
            some = tuple(channels[at : at + count])
            shards.append(Shard(layer, some, each * len(some), parts))
    return sorted(shards, key=lambda shard: shard.seconds, reverse=True)


def part_costs(network: Network, work: Work, layers: Sequence[Manifest]) -> dict[str, tuple[float, float]]:
    """Seconds of the survey of each layer, and of the parts of one of its channels, from one timed forward pass.

    The survey is a pass for each picture; a deconvolution is nine, forth and back, which is twice as long as forth.
    """
    given = work.evidence
    times = _reach(network, work, [manifest.layer for manifest in layers], network.card.size)
    each = 0.02 + 0.01 * ("patches" in given.parts)  # files, and nine pictures to read
    back = 27.0 if "deconv" in given.parts or "patches" in given.parts else 0.0
    return {layer: (seconds * given.pictures + 1, each + back * seconds) for layer, seconds in times.items()}


def costs(network: Network, work: Work, layers: Sequence[Manifest]) -> dict[str, float]:
    """Seconds per channel of each layer on this machine, from one pass with a clock in it and a few real steps.

    A step costs ``a + b·t``, where ``t`` is the time that a forward pass takes to reach the layer; ``a`` and ``b`` come
    from steps at the shallowest and the deepest layer.
    """
    import torch

    from vizcore.ascent import ascend

    if work.device == "cpu":
        torch.set_num_threads(1 if work.head.exact else max(1, work.threads))
    times = _reach(network, work, [manifest.layer for manifest in layers], int(work.head.settings["size"]))

    def step(layer: Manifest) -> float:
        channels = tuple(range(min(work.width, layer.channels)))
        ascent = ascend(work.head.spec(layer.layer, channels), network, device=work.device, exact=work.head.exact)
        frames = [next(ascent, None) for _ in range(3)]  # the first is slow
        seconds = [frame.seconds for frame in frames if frame is not None]
        return min(seconds) / len(channels)

    near, far = (chosen(layers, key=lambda one: times[one.layer]) for chosen in (min, max))
    try:
        low, high = step(near), step(far)
    except Exception:  # a filter that fails is for the workers to find; half a second a channel is a guess
        return dict.fromkeys(times, 0.5)
    span = times[far.layer] - times[near.layer]
    slope = max(0.0, high - low) / span if span > 0 else 0.0
    steps = int(work.head.settings["steps"]) + 1
    return {
        one.layer: steps * max(1e-6, low + slope * (times[one.layer] - times[near.layer])) for one in layers
    }  # fmt: skip


def _reach(network: Network, work: Work, paths: Sequence[str], size: int) -> dict[str, float]:
    """Seconds from the beginning of a forward pass at ``size`` px to the end of each layer: the better of two."""
    import torch

    best: dict[str, float] = dict.fromkeys(paths, float("inf"))
    parts = dict(network.module.named_modules())
    began = 0.0

    def note(path: str) -> None:
        if work.device == "cuda":
            torch.cuda.synchronize()
        best[path] = min(best[path], time.perf_counter() - began)

    network.to(work.device)
    handles = [
        parts[path].register_forward_hook(lambda _part, _args, _out, path=path: note(path)) for path in paths
    ]  # fmt: skip
    try:
        x = torch.zeros(1, network.card.channels, size, size, device=work.device)
        with torch.no_grad():
            for _ in range(2):
                began = time.perf_counter()
                network.module(x)
    finally:
        for handle in handles:
            handle.remove()
    longest = max((value for value in best.values() if value < float("inf")), default=1e-3)
    return {path: min(value, longest) for path, value in best.items()}
