"""All tools after equal steps and equal seconds; vizcore in bf16 beside fp32; memory by the number of filters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.peers.cases import Case
from benchmarks.peers.environments import CACHE, REQUIREMENTS
from benchmarks.peers.judge import Judge
from benchmarks.peers.rivals import PeerError, rival
from benchmarks.peers.speed import Entry

STEPS = (16, 32, 64, 128)  # at which scores are taken
FILTERS = 4
COUNTS = (1, 4, 16, 64)

Row = dict[str, Any]

# Vivid and Crisp with as many steps as are made, since their rate falls to 0 by then.
TOOLS: tuple[Entry, ...] = (
    ("vizcore Vivid", "vizcore", {"preset": "Vivid", "pad": 4}),
    ("vizcore Crisp", "vizcore", {"preset": "Crisp", "pad": 4}),
    ("plain PyTorch", "plain PyTorch", {}),
    ("torch-lucent", "torch-lucent", {}),
    ("torch-dreams", "torch-dreams", {}),
    ("horama", "horama", {}),
)


def scores(case: Case, speeds: list[Row]) -> list[Row]:
    """Median held-out scores of the first filters by step, in units of torch-lucent's at the last.

    Args:
        speeds: of :func:`benchmarks.peers.tables.speed_rows`, for what is reached in equal seconds.
    """
    case = replace(case, channels=case.channels[:FILTERS])
    judge = Judge(case)
    reached = {}
    for name, tool, options in TOOLS:
        try:
            reached[name] = np.stack([judge.scores(pictures) for pictures in _pictures(name, tool, options, case)])
        except PeerError as error:
            print(f"peers: {name}: {error}")
    unit = reached["torch-lucent"][-1]
    rates = {row["tool"]: row.get("image_steps_per_second") for row in speeds}
    rows = []
    for name, values in reached.items():
        shares = np.median(values / unit, 1)
        row: Row = {"tool": name, "steps": list(STEPS), "shares": shares.tolist()}
        rate = rates.get(name.split(" Vivid")[0].split(" Crisp")[0])
        if rate and rates.get("torch-lucent"):
            made = np.array(STEPS) / rates["torch-lucent"] * rate  # steps in the seconds of torch-lucent's
            row["made"] = made.tolist()
            row["in_equal_seconds"] = np.interp(made, [0, *STEPS], [0, *shares]).tolist()
        rows.append(row)
    return rows


def _pictures(name: str, tool: str, options: dict[str, Any], case: Case) -> list[np.ndarray]:
    """By step; those of other tools, which do not change, are kept in the cache folder."""
    path = CACHE / "pictures" / f"{case.arch}-{case.layer}-{tool.replace(' ', '-')}.npz"
    if tool in REQUIREMENTS and path.exists():
        return list(np.load(path)["pictures"])
    pictures = []
    values = {**options, "steps": STEPS[-1]} if tool == "vizcore" else options
    with rival(tool, case, **values) as one:
        made = 0
        for step in STEPS:
            one.run(step if tool == "horama" else step - made)  # horama begins anew at each call
            pictures.append(one.pictures())
            made = step + (tool == "vizcore")  # whose pictures are those before a step that it then makes
    if tool in REQUIREMENTS:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, pictures=np.stack(pictures))
    return pictures


def precisions(case: Case, steps: int = 64) -> list[Row]:
    """Held-out score of bf16 as a share of fp32's after equal steps, over all filters of the case."""
    judge = Judge(case)
    reached = []
    for precision in ("bf16", "fp32"):
        with rival("vizcore", case, preset="Vivid", pad=4, steps=steps, precision=precision) as one:
            one.run(steps)
            reached.append(judge.scores(one.pictures()))
    shares = reached[0] / reached[1]
    return [{"steps": steps, "share": float(np.median(shares)), "low": float(shares.min()), "filters": len(shares)}]


def memory(case: Case) -> list[Row]:
    """Megabytes at the peak of two steps, beyond the process with torch imported."""
    rows = []
    for count in COUNTS:
        with rival("vizcore", replace(case, channels=tuple(range(count)))) as one:
            one.run(2)
            peak, before = one.memory()
            rows.append({"filters": count, "megabytes": peak - before, "whole": peak})
    return rows
