"""The list of runs as the Library page reads it: made aside, told when it changed, and the runs' thumbnails."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
from PIL import Image

from app.notices import plain
from vizcore.history import decode
from vizcore.runs import Library, RunInfo
from vizcore.spec import format_channels

EVERY = 1.0  # seconds from the end of one look at the folder to the next, while somebody sees the list
SHARE = 5  # a look may take one part in so many of the time
THUMB = 56  # px
ACROSS = 4  # filters in a thumbnail
KEPT = 2000  # thumbnails in memory, some 4 KB each


class Shelf:
    """What is on the shelf; one for all sessions, looked through in a thread of its own.

    Args:
        aside: where the looking is done.
    """

    def __init__(self, library: Library, aside: Executor, clock: Callable[[], float] = time.monotonic) -> None:
        self.library = library
        self._aside, self._clock = aside, clock
        self._look: Future[None] | None = None
        self._due = 0.0
        self._thumbs: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.version = 0  # of the text; 0 before the first look
        self.runs: list[dict[str, Any]] = []
        self.text = b"{}"
        self.summary: dict[str, Any] = {}

    def refresh(self, *, now: bool = False) -> None:
        """See to it that the list is not old; ``now`` after a change that was made here."""
        if now or ((self._look is None or self._look.done()) and self._clock() >= self._due):
            self._look = self._aside.submit(self._through)

    def _through(self) -> None:
        began = self._clock()
        listing = self.library.scan()
        plan = self.library.cleaning()
        summary = {
            "count": len(listing.runs), "bytes": plan.bytes, "limit": plan.limit, "damaged": listing.damaged,
            "over": [run.id for run in plan.runs], "trash": len(plan.trash), "freed": plan.freed,
        }  # fmt: skip
        runs = [line(run) for run in listing.runs]
        text = json.dumps({"runs": runs, **summary}, separators=(",", ":")).encode()
        if text != self.text:
            self.runs, self.text, self.summary, self.version = runs, text, summary, self.version + 1
        self._due = self._clock() + max(EVERY, SHARE * (self._clock() - began))

    def family(self, run: str, count: int) -> dict[str, Any]:
        """The forks of a run as [step, id], and [id, title] of its parent, forks and the newest runs."""
        lines = {entry["id"]: entry for entry in self.runs}
        forks = sorted((entry["parent"][1], entry["id"]) for entry in self.runs if (entry["parent"] or [""])[0] == run)
        parent = (lines.get(run, {}).get("parent") or [""])[0]
        near = dict.fromkeys([parent, *(ident for _, ident in forks), *list(lines)[:count]])
        return {
            "forks": [list(fork) for fork in forks],
            "near": [[ident, titled(lines[ident])] for ident in near if ident in lines and ident != run][:count],
        }

    def thumbnail(self, run: str, stamp: str) -> bytes | None:
        """The newest pictures of a run's first filters as one WebP, ``None`` if it has none.

        Args:
            stamp: another one when the pictures are others; only a name for what is remembered.
        """
        key = run, stamp
        with self._lock:
            known = self._thumbs.get(key)
            if known is not None:
                self._thumbs.move_to_end(key)
                return known
        with self.library.open(run) as reader:
            step = reader.latest()
            found = [] if step is None else [reader.frame(step, c) for c in reader.spec.channels[:ACROSS]]
        pictures = [_small(decode(frame)) for frame in found if frame is not None]
        if not pictures:
            return None
        stream = io.BytesIO()
        Image.fromarray(np.concatenate(pictures, 1)).save(stream, "WEBP", quality=80, method=2)
        with self._lock:
            self._thumbs[key] = stream.getvalue()
            while len(self._thumbs) > KEPT:
                self._thumbs.popitem(last=False)
        return stream.getvalue()


def _small(image: np.ndarray) -> np.ndarray:
    """uint8 [56, 56, 3]."""
    whole = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGB")
    return np.asarray(
        whole.resize((THUMB, THUMB), Image.Resampling.BOX if whole.width >= THUMB else Image.Resampling.NEAREST)
    )


def line(run: RunInfo) -> dict[str, Any]:
    """A run as the page lists it: plain JSON, no text with power over a reader's eyes."""
    told = {**run.to_dict(), "filters": format_channels(run.channels)}
    for name in ("name", "model", "layer", "preset", "note", "objective"):
        told[name] = plain(told[name], 2000, markup=False)
    return told


def titled(entry: dict[str, Any]) -> str:
    """What a person calls the run of a line."""
    return str(entry["name"]) or f"{entry['layer'] or 'classes'} · {entry['filters']}"
