"""From a plan to an atlas: shards go out, what is told comes into the manifests, until nothing is missing."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vizcore.atlas import head as heads
from vizcore.atlas import manifest as manifests
from vizcore.atlas.engines import Engine, Finished, Lost, Stopped, Told
from vizcore.atlas.head import Head
from vizcore.atlas.plan import Wanted
from vizcore.atlas.shard import TRIES, Report, Shard
from vizcore.atlas.store import TILES, Store
from vizcore.errors import EngineError

SAVE = 2.0  # seconds between two writings of the manifests that changed
BARREN = 3  # deaths of each worker, in a row, before anything is begun: then it is not a filter that kills them


@dataclass
class Progress:
    """Of a job: how many channels it is to have, and what became of them."""

    total: int = 0
    skipped: int = 0  # were there before
    done: int = 0  # rendered by this job
    failed: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    layers: dict[str, dict[str, int]] = field(default_factory=dict)


Notify = Callable[[str, dict[str, Any]], None]
"""Called with ``"tile"``, ``"failed"`` or ``"lost"``, and the layer, the channel, and what the manifest says."""


def check(store: Store, head: Head) -> bool:
    """Whether there is an atlas already; nothing is written.

    Raises:
        ExportError: it is another one.
    """
    there = manifests.read_head(store)
    if there is not None:
        heads.check_same(there, head)
    return there is not None


def prepare(store: Store, head: Head, wanted: Sequence[Wanted]) -> list[tuple[str, list[int]]]:
    """Write the head, bring the manifests up to what is there, and return the missing channels of each layer.

    Raises:
        ExportError: there is another atlas in the store, or it cannot be written.
    """
    if not check(store, head):
        store.write(heads.NAME, head.to_json())
    known = {one.layer: one for one in manifests.read_all(store)}
    tiles = store.names(TILES)
    missing = []
    for one in wanted:
        if one.manifest.layer in known:
            one.manifest.units.update(known[one.manifest.layer].units)
        manifests.reconcile(one.manifest, head, store, tiles)
        done = set(one.manifest.done)
        left = [channel for channel in one.channels if channel not in done]
        for channel in left:
            one.manifest.units.pop(channel, None)  # those that were given up get another chance
        if left:
            missing.append((one.manifest.layer, left))
        store.write(manifests.name(one.manifest.layer), one.manifest.to_json())
    return missing


class Job:
    """One round of an atlas.  :meth:`run` ends when all is told, or :attr:`stop` was set."""

    def __init__(self, store: Store, wanted: Sequence[Wanted], notify: Notify = lambda kind, facts: None) -> None:
        self.stop = False
        self._store = store
        self._manifests = {one.manifest.layer: one.manifest for one in wanted}
        self._wanted = {one.manifest.layer: set(one.channels) for one in wanted}
        self.notify = notify
        self._changed: set[str] = set()
        self._saved = 0.0
        self._doing: dict[Shard, list[int]] = {}
        self._barren = 0
        self._told: dict[Shard, set[int]] = defaultdict(set)
        self._deaths: dict[tuple[str, int], int] = defaultdict(int)
        self.progress = Progress(total=sum(len(channels) for channels in self._wanted.values()))
        there = {layer: len(self._wanted[layer] & set(one.done)) for layer, one in self._manifests.items()}
        self.progress.skipped = sum(there.values())

    def run(self, engine: Engine, shards: Sequence[Shard]) -> Progress:
        """Render ``shards``; however this ends, what was told is in the manifests and the workers are gone.

        Raises:
            VizcoreError: the job cannot go on: no space, other weights, workers that do not live.
        """
        began = time.perf_counter()
        try:
            left = len(shards)
            for shard in shards:
                engine.submit(shard)
            while left and not self.stop:
                event = engine.next(0.2)
                if isinstance(event, Told):
                    self._hear(event.shard, event.report)
                elif isinstance(event, Finished):
                    left -= 1
                elif isinstance(event, Lost):
                    left -= 1
                    for shard in self._again(event, engine.workers):
                        left += 1
                        engine.submit(shard)
                elif isinstance(event, Stopped):
                    raise event.error
                self._save(SAVE)
            self.progress.interrupted = left > 0
        finally:
            engine.close()
            self.progress.seconds = time.perf_counter() - began
            self._save(0)
        return self.progress

    def _hear(self, shard: Shard, report: Report) -> None:
        if "doing" in report:
            self._doing[shard] = report["doing"]
            return
        unit = dict(report)
        channel = unit.pop("channel")
        if channel in self._told[shard] or channel in self._manifests[shard.layer].done:
            self._told[shard].add(channel)
            return
        self._told[shard].add(channel)
        self._manifests[shard.layer].units[channel] = unit
        self._changed.add(shard.layer)
        failed = "error" in unit
        self.progress.failed += failed
        self.progress.done += not failed
        self.notify("failed" if failed else "tile", {"layer": shard.layer, "channel": channel, **unit})

    def _again(self, event: Lost, workers: int) -> list[Shard]:
        """What is left of a shard whose worker died: those that it was at, one by one, and the others."""
        shard = event.shard
        left = [channel for channel in shard.channels if channel not in self._told[shard]]
        begun = self._doing.get(shard, left if len(shard.channels) == 1 else [])
        doing = [channel for channel in begun if channel in left]
        self.notify("lost", {"layer": shard.layer, "channels": doing})
        self._barren = 0 if doing else self._barren + 1
        if self._barren >= BARREN * (workers + 1):
            text = "The workers die before they render anything."
            raise EngineError(text, "Try one filter with vizcore render, or fewer workers.")
        each = shard.seconds / len(shard.channels)
        again = []
        for channel in doing:
            self._deaths[shard.layer, channel] += event.deaths if len(doing) == 1 else 0
            if self._deaths[shard.layer, channel] >= TRIES:
                error = {"kind": "EngineError", "message": "The worker died of this filter.", "hint": "Try it alone."}
                self._hear(shard, {"channel": channel, "error": error, "tries": TRIES})
            else:
                again.append(Shard(shard.layer, (channel,), each))
        others = tuple(channel for channel in left if channel not in doing)
        if others:
            again.append(Shard(shard.layer, others, each * len(others)))
        return again

    def _save(self, every: float) -> None:
        """Write the manifests that changed, no more often than ``every`` seconds."""
        if self._changed and time.monotonic() - self._saved >= every:
            for layer in sorted(self._changed):
                self._store.write(manifests.name(layer), self._manifests[layer].to_json())
            self._changed.clear()
            self._saved = time.monotonic()
