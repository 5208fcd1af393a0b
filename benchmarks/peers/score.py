"""Time to score: how soon vizcore reaches what torch-lucent reaches with its defaults in 512 steps.

What is reached is the held-out score (:mod:`benchmarks.peers.judge`) of each of 16 filters.  How long a step takes is
measured with one filter at work, as a person waits for it, the two tools taking turns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.peers import reference
from benchmarks.peers.cases import Case
from benchmarks.peers.judge import Judge, naturalness, naturalness_of_photographs
from benchmarks.peers.speed import Entry, race
from vizcore.ascent import ascend
from vizcore.spec import PARAMS, build
from vizcore.zoo.load import load

LUCENT = "torch-lucent"
PRESETS = {"Vivid": 16, "Crisp": 4}  # and how many filters; Crisp, which holds back, is there to compare with
LOOKS = 32  # at the score, evenly over the steps of a preset
SHEETS = Path(__file__).parents[2] / "docs"
TILE = 96  # px, of a contact sheet

Row = dict[str, Any]


def climbs(case: Case) -> list[Row]:
    """How many steps torch-lucent's score takes, and what the pictures are like: photographs, torch-lucent, presets.

    Draws the contact sheet.
    """
    judge = Judge(case)
    lucent = reference.reference(case)[reference.STEPS]
    marks = judge.scores(lucent)
    rows: list[Row] = [
        {"what": "photographs"} | _natural(*naturalness_of_photographs(case.size)),
        {"what": LUCENT, "steps": reference.STEPS} | _natural(*naturalness(lucent, case.size)),
    ]
    sheet = [lucent]
    for preset, count in PRESETS.items():
        some = replace(case, channels=case.channels[:count])
        climbed = climb(some, judge, marks[:count], preset)
        rows.append(
            {
                "what": preset, "steps": float(np.median(climbed.steps)), "filters": len(climbed.steps),
                "reached": int(np.isfinite(climbed.steps).sum()), "end_steps": climbed.last,
                "end": float(np.median(climbed.end_scores / marks[:count])),
            }
            | _natural(*naturalness(climbed.at_mark, case.size))
        )  # fmt: skip
        if preset == "Vivid":
            sheet += [climbed.at_mark, climbed.end]
    draw(sheet, SHEETS / f"peers-{case.arch}.jpg")
    return rows


@dataclass
class Climb:
    """A preset's ascent of all filters.

    Args:
        steps: at which each filter reached its mark ``[N]``, infinite if it never did.
        at_mark: the pictures of the first look at or after that step, the last ones where it never was.
        last: the number of steps of the preset.
        end: the last pictures.
        end_scores: their held-out scores ``[N]``.
    """

    steps: np.ndarray
    at_mark: np.ndarray
    last: int
    end: np.ndarray
    end_scores: np.ndarray


def climb(case: Case, judge: Judge, marks: np.ndarray, preset: str) -> Climb:
    """Ascend until the preset ends; between two looks the score is taken to rise evenly."""
    spec = build(case.weights, case.layer, case.channels, preset, case.arch, size=case.size)
    stride = spec.steps // LOOKS
    steps = np.full(len(marks), np.inf)
    before = np.zeros(len(marks))
    at_mark = np.zeros((len(marks), case.size, case.size, 3), np.uint8)
    ascent = ascend(spec, load(case.weights, case.arch), keep=lambda step: step % stride == 0 or step == spec.steps)
    for frame in ascent:
        rows = np.flatnonzero(np.isinf(steps))
        if frame.images is not None and frame.step > 0:
            end, at_mark[rows] = frame.images, frame.images[rows]
            if len(rows):
                scores = judge.scores(end[rows], rows.tolist())
                share = (marks[rows] - before[rows]) / np.maximum(scores - before[rows], 1e-12)
                steps[rows] = np.where(scores >= marks[rows], frame.step - stride * (1 - share), np.inf)
                before[rows] = scores
    return Climb(steps, at_mark, spec.steps, end, judge.scores(end, list(range(len(marks)))))


def timed(case: Case, rows: list[Row], rounds: int) -> list[Row]:
    """``rows`` of :func:`climbs` with the seconds that they take, one filter at a time."""
    one = replace(case, channels=case.channels[3:4])
    rivals: list[Entry] = [(LUCENT, "torch-lucent", {"canvas": reference.CANVAS})]
    rivals += [(preset, "vizcore", {"preset": preset, "pad": PARAMS["pad"].default}) for preset in PRESETS]
    rates = {timing.name: timing.rates for timing in race(one, rounds, rivals=rivals)}
    out = []
    for row in rows:
        if row["what"] in rates:
            own = np.array(rates[row["what"]])
            times = reference.STEPS / np.array(rates[LUCENT]) / (row["steps"] / own)
            row = row | {
                "rate": float(np.median(own)), "seconds": float(row["steps"] / np.median(own)),
                "ratio": float(np.median(times)), "ratio_low": float(min(times)), "ratio_high": float(max(times)),
            }  # fmt: skip
        out.append(row)
    return out


def _natural(variation: np.ndarray, distance: np.ndarray) -> Row:
    return {"variation": float(np.median(variation)), "distance": float(np.median(distance))}


def draw(rows: list[np.ndarray], path: Path) -> None:
    """Rows of pictures as one image."""
    small = [
        np.concatenate([np.asarray(Image.fromarray(p).resize((TILE, TILE), Image.Resampling.LANCZOS)) for p in row], 1)
        for row in rows
    ]
    Image.fromarray(np.concatenate(small)).save(path, quality=85)
