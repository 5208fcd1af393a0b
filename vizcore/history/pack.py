"""The one packed format that carries the pictures of a step to a browser, over HTTP and live.

::

    uint32 little-endian: length of the header in bytes
    header, JSON: {"step": k, "items": [{"channel", "type", "offset", "length", "score", "status"}, ...]}
    the pictures, one after the other; offsets count from the end of the header
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import Any

from vizcore.errors import HistoryError
from vizcore.history.codec import StoredFrame


def pack(step: int, frames: Sequence[StoredFrame]) -> bytes:
    """The pictures of one step, header first.  A score that is no number is ``null``, since JSON has no NaN."""
    items: list[dict[str, Any]] = []
    offset = 0
    for frame in frames:
        score = frame.score if math.isfinite(frame.score) else None
        items.append(
            {
                "channel": frame.channel,
                "type": frame.codec,
                "offset": offset,
                "length": len(frame.data),
                "score": score,
                "status": frame.status,
            }
        )
        offset += len(frame.data)
    header = json.dumps({"step": step, "items": items}, separators=(",", ":")).encode()
    return b"".join([struct.pack("<I", len(header)), header, *(frame.data for frame in frames)])


def unpack(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The header and the pictures in the bytes of :func:`pack`.

    Raises:
        HistoryError: the bytes are cut short or none of ours.
    """
    try:
        (length,) = struct.unpack_from("<I", data)
        header: dict[str, Any] = json.loads(data[4 : 4 + length])
        body = data[4 + length :]
        pictures = [body[item["offset"] : item["offset"] + item["length"]] for item in header["items"]]
        complete = all(len(p) == item["length"] for p, item in zip(pictures, header["items"], strict=True))
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise HistoryError("These are no packed pictures.", "Load the page again.") from error
    if not complete:
        raise HistoryError("The packed pictures are cut short.", "Load the page again.")
    return header, pictures
