"""The history of a run: every kept picture, score, knob turn and checkpoint in one SQLite file.

:class:`RunWriter` appends while the ascent runs and never makes it wait; :class:`RunReader` serves the newest or any
older step, from the same or another process, while it grows.  Inside:

* ``schema``: the tables, opening and checking;  ``entries``: what can be written;  ``journal``: the writing thread
* ``codec``: pictures as JPEG or lossless WebP;  ``pack``: the pictures of one step for a browser
* ``pins``: steps that are kept for good
* ``thinning``: which steps keep their pictures
"""

from vizcore.history.codec import StoredFrame, decode
from vizcore.history.pack import pack, unpack
from vizcore.history.pins import Pin
from vizcore.history.reader import RunReader
from vizcore.history.schema import PAUSED
from vizcore.history.thinning import checkpoint_every, kept_ranges, library_limit, run_limit, stride
from vizcore.history.writer import RunWriter

__all__ = [
    "PAUSED",
    "Pin",
    "RunReader",
    "RunWriter",
    "StoredFrame",
    "checkpoint_every",
    "decode",
    "kept_ranges",
    "library_limit",
    "pack",
    "run_limit",
    "stride",
    "unpack",
]
