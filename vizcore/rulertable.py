"""What the ruler says, as values and tables.  No torch here.

::

    pixel, fourier, maco, paper3     presets of an ascent
    dgn-am, ppgn                     walks of a generator's code
    real                             what they are held against
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PRESETS = {"pixel": "Raw", "fourier": "Crisp", "maco": "MACO", "paper3": "Paper 3"}
WALKS = {"dgn-am": "dgn-am", "ppgn": "ppgn"}
METHODS = (*PRESETS, *WALKS)
REAL = "real"
COLUMNS = (
    "activation", "held_out", "transfer", "transferred", "nearest", "spectrum", "diversity", "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Length:
    """What the ruler says of the pictures of one method and unit, each the mean over seeds; None where it cannot say.

    Args:
        activation: over the highest of all real pictures; the unit's own where there are none.
        held_out: the activation under moves that no ascent made, as a share of that without; None where it is 0.
        transfer: the probability that another network gives the class; ``transferred``: the share that it takes for it.
        nearest: L2 distance to the nearest real picture, of pixels in [0, 1].
        spectrum: mean absolute difference of log radial power to that of real pictures.
        diversity: root mean square difference of two pictures; None for one seed.
        seconds: of computing, for each picture.
    """

    method: str
    unit: int
    activation: float
    held_out: float | None
    transfer: float | None
    transferred: float | None
    nearest: float | None
    spectrum: float | None
    diversity: float | None
    seconds: float


def table(lengths: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each method: mean, and deviation over units (``COLUMN_sd``), of each column.

    Args:
        lengths: fields of a :class:`Length` each.
    """
    rows = []
    for method in dict.fromkeys(one["method"] for one in lengths):
        row: dict[str, Any] = {"method": method}
        for column in COLUMNS:
            values = [one[column] for one in lengths if one["method"] == method]
            present = [float(value) for value in values if value is not None and math.isfinite(value)]
            row[column] = statistics.fmean(present) if present else None
            row[f"{column}_sd"] = statistics.pstdev(present) if present else None
        rows.append(row)
    return rows


def as_csv(lengths: Sequence[Mapping[str, Any]]) -> str:
    """A line for each method and unit; empty fields where the ruler cannot say."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("method", "unit", *COLUMNS))
    writer.writerows([one["method"], one["unit"], *(one[column] for column in COLUMNS)] for one in lengths)
    return stream.getvalue()
