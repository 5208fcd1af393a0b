"""The scores of a run as a table, for other programs: CSV, or Parquet with ``vizcore[parquet]``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vizcore.errors import ExportError
from vizcore.export import drafted
from vizcore.history import RunReader
from vizcore.spec import Knobs

COLUMNS = ("step", "filter", "score", "gradient_norm", "kept")


def save(path: str | Path, reader: RunReader) -> int:
    """Write one row per step and filter to ``path``, which ends in ``.csv`` or ``.parquet``; returns their number.

    Columns: step, filter, score, gradient_norm, kept (whether the step has pictures), and each knob that was turned,
    with its value at that step.

    Raises:
        ExportError: another ending, pyarrow missing for Parquet, no space.
    """
    target = Path(path)
    form = target.suffix.lower()
    if form not in (".csv", ".parquet"):
        raise ExportError(f"Curves do not end in {target.suffix[:20]!r}.", "Use .csv or .parquet.")
    table = _table(reader)
    with drafted(target) as draft:
        if form == ".csv":
            with draft.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(table)
                writer.writerows(_rows(table))
        else:
            _parquet(draft, table)
    return len(table["step"])


def _table(reader: RunReader) -> dict[str, Any]:
    steps, scores, norms = reader.scores()
    channels, kept = reader.spec.channels, np.isin(steps, reader.steps())
    wide = len(channels)
    log = reader.knobs()
    knobs = Knobs(reader.spec, log)
    turned = list(dict.fromkeys(name for _, name, _ in log))
    values = [knobs.at(int(step)) for step in steps] if turned else []
    return {
        "step": steps.repeat(wide),
        "filter": np.tile(np.array(channels, np.int64), len(steps)),
        "score": scores.reshape(-1),
        "gradient_norm": norms.reshape(-1),
        "kept": kept.astype(np.int8).repeat(wide),
        **{name: np.array([value[name] for value in values]).repeat(wide) for name in turned},
    }


def _rows(table: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Numbers in the shortest form that reads back to the same float32."""
    texts = [
        [str(value) for value in column] if column.dtype == np.float32 else column.tolist() for column in table.values()
    ]
    return zip(*texts, strict=True)


def _parquet(path: Path, table: dict[str, Any]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ExportError("Parquet needs pyarrow.", "Run pip install 'vizcore[parquet]', or export CSV.") from error
    parquet.write_table(pyarrow.table(table), path)
