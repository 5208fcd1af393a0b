"""Pictures of a step that was thinned out and has been made anew, put back into the run file."""

from __future__ import annotations

import json
from pathlib import Path

from vizcore.errors import HistoryError, StorageError
from vizcore.history import codec, entries, schema
from vizcore.history.codec import Pixels
from vizcore.history.schema import PASSING, RECALLED, ROWS


def recall(path: str | Path, step: int, images: Pixels, revision: int, since: int | None = None) -> bool:
    """Store ``images`` uint8 [N, H, W, C] of ``step``, beside the file's writer if it has one.

    They are encoded as the writer would have done, so that equal pictures are equal bytes.  At the run's bound of
    disk the other recalled pictures go first.

    Args:
        revision: of the run (its own) when the pictures were made; a run that has been rolled back since has others.
        since: recalled pictures of this step and those after it stay, up to ``step``; default: of ``step`` alone.

    Returns:
        ``False`` if the step has pictures that stay already.

    Raises:
        HistoryError: the run has no such step any more.
        StorageError: no space or no right to write, or no room under the run's bound.
    """
    lossless = max(images.shape[1:3]) <= codec.LOSSLESS_SIDE or step % codec.LOSSLESS_EVERY == 0
    encoded = [codec.encode(image, lossless) for image in images]
    with schema.translated(), schema.editing(Path(path)) as connection:
        meta = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('revision', 'limit')"))
        known = connection.execute("SELECT 1 FROM step WHERE step = ?", (step,)).fetchone()
        if known is None or int(meta.get("revision", "0")) != revision:
            raise HistoryError(f"Step {step} was made anew in the meantime.", "Go to the step again.")
        row = connection.execute("SELECT kept FROM picture WHERE step = ?", (step,)).fetchone()
        if row is not None and row[0] != PASSING:
            return False
        connection.executemany(
            "INSERT OR REPLACE INTO frame VALUES (?, ?, ?)",
            [(step * ROWS + row, number, data) for row, (number, data) in enumerate(encoded)],
        )
        connection.execute("INSERT OR REPLACE INTO picture VALUES (?, ?)", (step, RECALLED))
        limit = json.loads(meta.get("limit", "null"))
        if limit is not None and entries.used_bytes(connection) > limit:
            entries.drop_recalled(connection, step if since is None else since, step)
            if entries.used_bytes(connection) > limit:
                hint = "Recompute fewer steps at once, or raise VIZCORE_RUN_MIB for new runs."
                raise StorageError("The run is at its bound of disk space.", hint)
    return True
