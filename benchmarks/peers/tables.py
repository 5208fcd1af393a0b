"""What was measured, kept in ``benchmarks/results.json`` under ``peers`` and shown in ``docs/benchmarks.md``."""

from __future__ import annotations

import datetime
import statistics
from typing import Any

from benchmarks import report
from benchmarks.peers.environments import ABSENT
from benchmarks.peers.speed import Timing, ratios

Row = dict[str, Any]


def keep(kind: str, title: str, rows: list[Row]) -> None:
    """Replace what is known of one kind (``"speed"``, ``"score"``, …) and case, and write the page anew."""
    known = report.read().get("peers", {})
    entry = {"date": datetime.date.today().isoformat(), "machine": report.machine(), "rows": rows}
    known.setdefault(kind, {})[title] = entry
    report.keep("peers", known)
    write(known)


def speed_rows(timings: list[Timing], count: int) -> list[Row]:
    """One row per tool; ``ratio`` is how many times as fast vizcore was, in the median round."""
    rows = []
    for timing in timings:
        row: Row = {"tool": timing.name, "error": timing.error, "precision": timing.precision}
        if timing.rates:
            times = ratios(timings, "vizcore", timing.name)
            row |= {
                "steps_per_second": timing.median, "spread": half_quartiles(timing.rates), "rates": timing.rates,
                "image_steps_per_second": count * timing.median, "megabytes": timing.memory,
                "ratio": statistics.median(times), "ratio_low": min(times), "ratio_high": max(times),
            }  # fmt: skip
        rows.append(row)
    return rows


def half_quartiles(values: list[float]) -> float:
    """Half the distance between the quartiles."""
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2


def write(known: dict[str, Any]) -> None:
    """Put all tables between the markers of the page."""
    blocks = [speed_table(title, entry) for title, entry in known.get("speed", {}).items()]
    absent = [f"* {name} is not in the tables: {why}." for name, why in ABSENT.items()]
    report.replace("peers", "\n\n".join([*blocks, "\n".join(absent)]))


def speed_table(title: str, entry: Row) -> str:
    """The table of one case."""
    lines = [
        f"**{title}** ({where(entry)})", "",
        "| tool | steps/s | image-steps/s | vizcore is … times as fast (lowest to highest round) | memory |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in entry["rows"]:
        if row["error"]:
            lines.append(f"| {row['tool']} | did not run: {row['error']} | | | |")
            continue
        name = row["tool"] + (f" ({row['precision']})" if row["tool"] == "vizcore" else "")
        times = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        lines.append(
            f"| {name} | {row['steps_per_second']:.3g} ± {row['spread']:.2g} | {row['image_steps_per_second']:.3g} "
            f"| {'' if row['tool'] == 'vizcore' else times} | {row['megabytes']:.0f} MB |"
        )
    return "\n".join(lines)


def where(entry: Row) -> str:
    """Date and machine of an entry."""
    return f"{entry['date']}, {report.place(entry['machine'])}"
