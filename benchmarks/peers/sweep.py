"""How soon each of some settings reaches torch-lucent's score, and with what pictures; a contact sheet, a row each.

    python -m benchmarks.peers.sweep squeezenet1_0 features.7 --try rate=0.07,fourier_decay=1.5,steps=96 --try ""

The first rows of the sheet are torch-lucent's pictures after 512 steps.  ``score`` is the held-out score in units of
theirs, the median over filters.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.peers import cases, reference
from benchmarks.peers.judge import Judge, naturalness
from benchmarks.peers.score import draw
from vizcore.ascent import ascend
from vizcore.spec import build
from vizcore.zoo.load import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arch")
    parser.add_argument("layer")
    parser.add_argument("--filters", type=int, default=4, help="how many, from number 0")
    parser.add_argument("--preset", default="Crisp")
    parser.add_argument("--try", action="append", dest="tries", default=[], metavar="NAME=VALUE,…")
    parser.add_argument("--looks", default="32,48,64,96", help="steps at which to look")
    parser.add_argument("--sheet", type=Path, help="where to draw the pictures of the last look")
    options = parser.parse_args()
    case = cases.case(options.arch, options.layer, options.filters, 224)
    if case is None:
        raise SystemExit("The shared weights are not beside the checkout.")
    case = replace(case, channels=tuple(range(options.filters)))
    judge, network = Judge(case), load(case.weights, case.arch)
    lucent = reference.reference(case)[reference.STEPS]
    marks = judge.scores(lucent)
    sheet = [lucent]
    say("torch-lucent", reference.STEPS, np.ones(1), lucent)
    looks = [int(look) for look in options.looks.split(",")]
    for text in options.tries:
        values = dict(part.split("=") for part in text.split(",") if part)
        spec = build(
            case.weights, case.layer, case.channels, options.preset, case.arch, **{"size": case.size, **values}
        )
        for frame in ascend(spec, network, keep=lambda step: step in looks):
            if frame.images is not None:
                say(text, frame.step, judge.scores(frame.images) / marks, frame.images)
                last = frame.images
            if frame.step >= looks[-1]:
                break
        sheet.append(last)
    if options.sheet:
        draw(sheet, options.sheet)


def say(text: str, step: int, shares: np.ndarray, pictures: np.ndarray) -> None:
    variation, distance = (np.median(values) for values in naturalness(pictures, 224))
    print(
        f"{text:48s} step {step:4d}  score {np.median(shares):.2f}  variation {variation:.3f}  spectrum {distance:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
