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
from vizcore.history import decode, library_limit
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
        self.text = b"{}"
        self.summary: dict[str, Any] = {}

    def refresh(self, *, now: bool = False) -> None:
        """See to it that the list is not old; ``now`` after a change that was made here."""
        if (self._look is None or self._look.done()) and (now or self._clock() >= self._due):
            self._look = self._aside.submit(self._through)

    def _through(self) -> None:
        began = self._clock()
        listing = self.library.scan()
        over = [run.id for run in self.library.over_quota()]
        total, limit = sum(run.bytes for run in listing.runs), library_limit()
        summary = {"count": len(listing.runs), "bytes": total, "limit": limit, "over": over, "damaged": listing.damaged}
        text = json.dumps({"runs": [line(run) for run in listing.runs], **summary}, separators=(",", ":")).encode()
        if text != self.text:
            self.text, self.summary, self.version = text, summary, self.version + 1
        self._due = self._clock() + max(EVERY, SHARE * (self._clock() - began))

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
    for name in ("model", "layer", "preset", "note"):
        told[name] = plain(told[name], 2000, markup=False)
    return told
