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
from vizcore.atlas.evidence import FOLDER, SURVEY, Evidence
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
    parts: dict[str, dict[str, int]] = field(default_factory=dict)  # of each: total, skipped, done, failed


Notify = Callable[[str, dict[str, Any]], None]
"""Called with ``"tile"``, ``"part"``, ``"failed"`` or ``"lost"``, with the layer, the channel, what is known."""


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
            manifests.forget(one.manifest, channel)  # those that were given up get another chance
        if left:
            missing.append((one.manifest.layer, left))
        store.write(manifests.name(one.manifest.layer), one.manifest.to_json())
    return missing


def prepare_parts(
    store: Store, head: Head, given: Evidence, wanted: Sequence[Wanted]
) -> list[tuple[str, dict[str, list[int]]]]:
    """Bring the manifests up to the evidence that is there, and return what each layer has yet to get."""
    files = store.names(FOLDER) if given.parts else set()
    missing = []
    for one in wanted:
        left = manifests.reconcile_parts(one.manifest, head, given, one.channels, files, store)
        if any(left.values()):
            missing.append((one.manifest.layer, left))
        if given.parts:
            store.write(manifests.name(one.manifest.layer), one.manifest.to_json())
    return missing


class Job:
    """One round of an atlas.  :meth:`run` ends when all is told, or :attr:`stop` was set."""

    def __init__(
        self, store: Store, wanted: Sequence[Wanted], notify: Notify = lambda kind, facts: None,
        parts: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.stop = False
        self._store = store
        self._manifests = {one.manifest.layer: one.manifest for one in wanted}
        self._wanted = {one.manifest.layer: set(one.channels) for one in wanted}
        self.notify = notify
        self._changed: set[str] = set()
        self._saved = 0.0
        self._doing: dict[Shard, list[int]] = {}
        self._barren = 0
        self._told: dict[Shard, set[tuple[int, str]]] = defaultdict(set)
        self._deaths: dict[tuple[str, int | str], int] = defaultdict(int)
        self._held: dict[str, list[Shard]] = defaultdict(list)  # until their layer is surveyed
        self.progress = Progress(total=sum(len(channels) for channels in self._wanted.values()))
        there = {layer: len(self._wanted[layer] & set(one.done)) for layer, one in self._manifests.items()}
        self.progress.skipped = sum(there.values())
        for part in parts:
            total = skipped = 0
            for layer, one in self._manifests.items():
                total += len(self._wanted[layer])
                skipped += sum(part in one.units.get(channel, {}) for channel in self._wanted[layer])
            self.progress.parts[part] = {"total": total, "skipped": skipped, "done": 0, "failed": 0}

    def run(self, engine: Engine, shards: Sequence[Shard]) -> Progress:
        """Render ``shards``, evidence after the survey of its layer.

        However this ends, what was told is in the manifests and the workers are gone.

        Raises:
            VizcoreError: the job cannot go on: no space, other weights, workers that do not live.
        """
        began = time.perf_counter()
        try:
            surveyed = {shard.layer for shard in shards if shard.parts == (SURVEY,)}
            left = 0
            for shard in shards:
                if shard.parts and shard.parts != (SURVEY,) and shard.layer in surveyed:
                    self._held[shard.layer].append(shard)
                else:
                    left += 1
                    engine.submit(shard)
            while left and not self.stop:
                event = engine.next(0.2)
                if isinstance(event, Told):
                    self._hear(event.shard, event.report)
                elif isinstance(event, Finished):
                    left -= 1
                    if event.shard.parts == (SURVEY,):
                        for shard in self._held.pop(event.shard.layer, ()):
                            left += 1
                            engine.submit(shard)
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
        channel, part = unit.pop("channel"), unit.pop("part", "")
        manifest = self._manifests[shard.layer]
        known = part in manifest.units.get(channel, {}) if part else channel in manifest.done
        if (channel, part) in self._told[shard] or known:
            self._told[shard].add((channel, part))
            return
        self._told[shard].add((channel, part))
        failed = "error" in unit
        if part:
            manifests.put_part(manifest, channel, part, unit.get("address"), unit.get("scores"), unit.get("error"))
            self.progress.parts[part]["failed" if failed else "done"] += 1
            unit["part"] = part
        else:
            manifests.put(manifest, channel, unit)
            self.progress.failed += failed
            self.progress.done += not failed
        self._changed.add(shard.layer)
        kind = "failed" if failed else "part" if part else "tile"
        self.notify(kind, {"layer": shard.layer, "channel": channel, **unit})

    def _again(self, event: Lost, workers: int) -> list[Shard]:
        """What is left of a shard whose worker died: those that it was at, one by one, and the others."""
        shard = event.shard
        if shard.parts == (SURVEY,):
            return self._survey_again(event)
        parts = shard.parts or ("",)
        told = self._told[shard]
        left = [channel for channel in shard.channels if any((channel, part) not in told for part in parts)]
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
                self._give_up(shard, channel, "The worker died of this filter.")
            else:
                again.append(Shard(shard.layer, (channel,), each, shard.parts))
        others = tuple(channel for channel in left if channel not in doing)
        if others:
            again.append(Shard(shard.layer, others, each * len(others), shard.parts))
        return again

    def _survey_again(self, event: Lost) -> list[Shard]:
        """The survey once more; three deaths of it are those of all that waits for it."""
        shard = event.shard
        self.notify("lost", {"layer": shard.layer, "channels": []})
        self._deaths[shard.layer, SURVEY] += event.deaths
        if self._deaths[shard.layer, SURVEY] < TRIES:
            return [shard]
        for held in self._held.pop(shard.layer, ()):
            for channel in held.channels:
                self._give_up(held, channel, "The worker died of looking through the pictures.")
        return []

    def _give_up(self, shard: Shard, channel: int, text: str) -> None:
        error = {"kind": "EngineError", "message": text, "hint": "Try it alone."}
        for part in shard.parts or ("",):
            if (channel, part) not in self._told[shard]:
                self._hear(
                    shard, {"channel": channel, "error": error, "tries": TRIES, **({"part": part} if part else {})}
                )

    def _save(self, every: float) -> None:
        """Write the manifests that changed, no more often than ``every`` seconds."""
        if self._changed and time.monotonic() - self._saved >= every:
            for layer in sorted(self._changed):
                self._store.write(manifests.name(layer), self._manifests[layer].to_json())
            self._changed.clear()
            self._saved = time.monotonic()
