"""What was measured, kept in ``benchmarks/results.json`` under ``peers`` and shown in ``docs/benchmarks.md``."""

from __future__ import annotations

import datetime
import statistics
from math import inf
from typing import Any

from benchmarks import report
from benchmarks.peers import plot
from benchmarks.peers.cases import AIMED, CELLS, title_of
from benchmarks.peers.environments import ABSENT
from benchmarks.peers.speed import RIVALS, Timing, ratios

Row = dict[str, Any]


def keep(kind: str, title: str, found: list[Row]) -> None:
    """Replace what is known of one kind (``"speed"``, ``"score"``, …) and case, and write the page anew."""
    known = report.read().get("peers", {})
    entry = {"date": datetime.date.today().isoformat(), "machine": report.machine(), "rows": found}
    known.setdefault(kind, {})[title] = entry
    report.keep("peers", known)
    write(known)


def speed_rows(timings: list[Timing], count: int) -> list[Row]:
    """One row per tool; ``ratio`` is how many times as fast vizcore was, in the median round."""
    found = []
    for timing in timings:
        row: Row = {"tool": timing.name, "error": timing.error, "precision": timing.precision}
        if timing.rates:
            times = ratios(timings, "vizcore", timing.name)
            row |= {
                "steps_per_second": timing.median, "spread": half_quartiles(timing.rates), "rates": timing.rates,
                "image_steps_per_second": count * timing.median, "megabytes": timing.memory,
                "ratio": statistics.median(times), "ratio_low": min(times), "ratio_high": max(times),
            }  # fmt: skip
        found.append(row)
    return found


def half_quartiles(values: list[float]) -> float:
    """Half the distance between the quartiles."""
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2


def rows(kind: str, title: str) -> list[Row]:
    """What was kept last; empty if nothing was."""
    found: list[Row] = report.read().get("peers", {}).get(kind, {}).get(title, {}).get("rows", [])
    return found


def write(known: dict[str, Any]) -> None:
    """Put all tables between the markers of the page, and draw the plot."""
    makers = {
        "score": score_table, "speed": speed_table, "quality": quality_table, "precision": precision_table,
        "memory": memory_table,
    }  # fmt: skip
    blocks = [targets_table(known)]
    speeds = known.get("speed", {})
    wanted = targeted(speeds)
    for kind, make in makers.items():
        entries = wanted if kind == "speed" else known.get(kind, {})
        blocks += [make(title, entry) for title, entry in entries.items()]
        if kind == "speed" and (others := {title: one for title, one in speeds.items() if title not in wanted}):
            blocks.append(overview(others))
    absent = [f"* {name} is not in the tables: {why}." for name, why in ABSENT.items()]
    report.replace("peers", "\n\n".join([*blocks, "\n".join(absent)]))
    plot.draw({**known, "speed": wanted})


def targets_table(known: dict[str, Any]) -> str:
    """What is aimed at, and what was measured."""
    lines = ["| what | measured | target | met |", "|---|---|---|---|"]

    def add(what: str, value: float, target: float, unit: str, more: bool = True) -> None:
        met = value >= target if more else value <= target
        lines.append(
            f"| {what} | {value:.3g} {unit} | {'≥' if more else '≤'} {target:g} {unit} | {'yes' if met else '**no**'} |"
        )

    for title, entry in known.get("score", {}).items():
        add(f"{title}: torch-lucent's time to its score / Vivid's", _of(entry, "what", "Vivid")["ratio"], 20, "×")
    for title, entry in targeted(known.get("speed", {})).items():
        measured = {row["tool"]: row for row in entry["rows"] if not row["error"]}
        if {"vizcore, fp32", "torch-lucent", "torch-dreams"} <= measured.keys():
            amx = "" if entry["machine"]["amx"] else " (the target is for a CPU with AMX)"
            add(f"{title}: vizcore / torch-lucent{amx}", measured["torch-lucent"]["ratio"], 3.5, "×")
            half = measured["torch-lucent"]["ratio"] / measured["vizcore, fp32"]["ratio"]
            add(f"{title}: vizcore in fp32 / torch-lucent", half, 1.9, "×")
            add(f"{title}: vizcore / torch-dreams", measured["torch-dreams"]["ratio"], 4, "×")
    for title, entry in known.get("precision", {}).items():
        add(f"{title}: score of bf16 / fp32", 100 * entry["rows"][0]["share"], 95, "%")
    for title, entry in known.get("memory", {}).items():
        if title.startswith("SqueezeNet"):
            add(
                f"{title.split(',')[0]}, 64 × 224 px: memory", _of(entry, "filters", 64)["whole"] / 1000, 4, "GB", False
            )
    return "\n".join(lines)


def targeted(entries: dict[str, Any]) -> dict[str, Any]:
    """Those of the cases for which something is aimed at."""
    wanted = {title_of(*cell) for cell in AIMED}
    return {title: one for title, one in entries.items() if title in wanted}


def _of(entry: Row, name: str, value: object) -> Row:
    return next(row for row in entry["rows"] if row[name] == value)


def score_table(title: str, entry: Row) -> str:
    """Time to torch-lucent's score, and the pictures there."""
    lines = [
        f"**Time to torch-lucent's score, {title}** ({where(entry)})", "",
        "| | filters that reach it | steps | steps/s | seconds | times as soon (lowest to highest round) | "
        "score at the end | variation | spectrum distance |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in entry["rows"]:
        cells = [row["what"], "", "", "", "", "", ""]
        if "rate" in row:
            cells[3] = f"{row['rate']:.3g}"
        if row.get("seconds", inf) < inf:
            cells[2], cells[4] = f"{row['steps']:.0f}", f"{row['seconds']:.3g}"
        if "reached" in row:
            cells[0] = f"vizcore {row['what']}"
            cells[1] = f"{row['reached']} of {row['filters']}"
            if row["ratio"]:
                cells[5] = f"{row['ratio']:.1f} ({row['ratio_low']:.1f} to {row['ratio_high']:.1f})"
            cells[6] = f"{row['end']:.2f} after {row['end_steps']}"
        cells += [f"{row['variation']:.3f}", f"{row['distance']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def quality_table(title: str, entry: Row) -> str:
    """Scores after equal steps, and after the seconds that torch-lucent takes for them."""
    steps = entry["rows"][0]["steps"]
    lines = [
        f"**Score after equal steps, and after the seconds that torch-lucent takes for them, {title}** "
        f"({where(entry)}); 1 is torch-lucent after {steps[-1]}", "",
        "| tool | " + " | ".join(f"{step} steps" for step in steps) + " | "
        + " | ".join(f"seconds of {step}" for step in steps) + " |",
        "|---" * (1 + 2 * len(steps)) + "|",
    ]  # fmt: skip
    for row in entry["rows"]:
        later = [
            ("≥ " if made > steps[-1] else "") + f"{share:.2f}"
            for made, share in zip(row.get("made", []), row.get("in_equal_seconds", []), strict=True)
        ]
        cells = [row["tool"], *(f"{share:.2f}" for share in row["shares"]), *(later or [""] * len(steps))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def precision_table(title: str, entry: Row) -> str:
    """One line."""
    row = entry["rows"][0]
    return (
        f"bf16 reaches {100 * row['share']:.1f} % of fp32's held-out score after {row['steps']} steps of Vivid (median "
        f"of {row['filters']} filters, lowest {100 * row['low']:.0f} %), {title} ({where(entry)})."
    )


def memory_table(title: str, entry: Row) -> str:
    """Megabytes by filters."""
    lines = [f"**Memory, {title.split(',')[0]}, 224 px** ({where(entry)})", ""]
    lines += ["| filters | beyond torch | whole process | beyond torch, per filter |", "|---|---|---|---|"]
    for row in entry["rows"]:
        each = row["megabytes"] / row["filters"]
        lines.append(f"| {row['filters']} | {row['megabytes']:.0f} MB | {row['whole']:.0f} MB | {each:.0f} MB |")
    return "\n".join(lines)


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


def overview(entries: dict[str, Row]) -> str:
    """The cases without a target, one line each, in the order of networks, layers, sizes and filters."""
    tools = [name for name, _, _ in RIVALS if name != "vizcore"]
    lines = [
        "**The other layers, sizes and numbers of filters**: steps/s of vizcore, how many times as fast it is as each "
        "tool in the median round, and memory",
        "",
        f"| | vizcore | {' | '.join(tools)} | memory of vizcore | of torch-lucent |",
        "|---" * (4 + len(tools)) + "|",
    ]
    for title in (one for cell in CELLS if (one := title_of(*cell)) in entries):
        rows = {row["tool"]: row for row in entries[title]["rows"]}
        made = {tool: row for tool, row in rows.items() if not row["error"]}
        ratios = [f"{made[tool]['ratio']:.1f}" if tool in made else "fails" if tool in rows else "" for tool in tools]
        memory = [f"{made[tool]['megabytes']:.0f} MB" if tool in made else "" for tool in ("vizcore", "torch-lucent")]
        rate = f"{made['vizcore']['steps_per_second']:.3g}" if "vizcore" in made else "fails"
        lines.append(f"| {' | '.join([title, rate, *ratios, *memory])} |")
    days = sorted({entry["date"] for entry in entries.values()})
    places = sorted({report.place(entry["machine"]) for entry in entries.values()})
    return "\n".join([*lines, "", f"({' to '.join(days[:1] + days[1:][-1:])}, {'; '.join(places)})"])


def where(entry: Row) -> str:
    """Date and machine of an entry."""
    return f"{entry['date']}, {report.place(entry['machine'])}"
