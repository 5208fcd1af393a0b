"""Passes of several runs through one network, as one batch.

On two CPU cores a picture of 128 px costs 7 to 10 ms a step by itself and 4 ms as one of 16, so runs of one or a few
filters (the tiles of a sweep, a class at work) go through the network together.  Rows do not depend on each other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from vizcore import penalties
from vizcore.arithmetic import arithmetic
from vizcore.rectifiers import Redirected

if TYPE_CHECKING:
    from vizcore.ascent import Answer, Ascent, Asking, Coming, Pass


def compute(asked: Sequence[tuple[Ascent, Pass]]) -> list[Answer]:
    """What the network says to questions of runs that can share (:meth:`vizcore.ascent.Ascent.shares`), in one pass."""
    first, question = asked[0]
    redirect = Redirected() if question.redirected else contextlib.nullcontext()
    with arithmetic(first.precision, first.device), redirect:
        pictures = [question.pictures.detach().requires_grad_() for _, question in asked]
        moved = [run.moved(x, question) for (run, question), x in zip(asked, pictures, strict=True)]
        activations = first.cut(moved[0] if len(moved) == 1 else torch.cat(moved))
        losses, scores, at = [], [], 0
        for (run, question), picture, views in zip(asked, pictures, moved, strict=True):
            rows = slice(at, at := at + len(views))
            seen = activations if len(asked) == 1 else {path: found[rows] for path, found in activations.items()}
            score = run.scores(seen, question)
            cost = penalties.cost(picture, run.mean, question.knobs)
            losses.append(-(score if cost is None else score - cost).sum())
            scores.append(score.detach())
        slopes = torch.autograd.grad(losses, pictures)
    return list(zip(slopes, scores, strict=True))


def lockstep(runs: Sequence[Ascent]) -> list[Coming | Exception | None]:
    """One step of each run: its frame-to-be, None if it is at its end, or what went wrong in it alone.

    One run, or runs that cannot share, take their steps one after the other.
    """
    if len(runs) == 1:
        return [_outcome(runs[0])]
    asking: list[Asking[Coming | None]] = [run.asking() for run in runs]
    outcomes: list[Coming | Exception | None] = [None] * len(runs)
    waiting: dict[int, Pass] = {}

    def go_on(index: int, answer: Answer | None) -> None:
        waiting.pop(index, None)
        try:
            waiting[index] = asking[index].send(answer)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as end:
            outcomes[index] = end.value
        except Exception as error:
            outcomes[index] = error

    for index in range(len(runs)):
        go_on(index, None)
    while waiting:
        redirected = all(question.redirected for question in waiting.values())  # these wait for the plain ones
        group = [index for index, question in waiting.items() if question.redirected == redirected]
        answers = _answers([(runs[index], waiting[index]) for index in group])
        for index, answer in zip(group, answers, strict=True):
            if isinstance(answer, Exception):
                outcomes[index] = answer
                del waiting[index]
            else:
                go_on(index, answer)
    return outcomes


def _outcome(run: Ascent) -> Coming | Exception | None:
    try:
        return run.launch()
    except Exception as error:
        return error


def _answers(asked: Sequence[tuple[Ascent, Pass]]) -> list[Answer | Exception]:
    """As :func:`compute`; where that fails, each alone, so that one run's trouble (or short memory) stays its own."""
    if len(asked) > 1:
        try:
            return list(compute(asked))
        except Exception:
            for run, _ in asked:
                run.alone = True
    found: list[Answer | Exception] = []
    for run, question in asked:
        try:
            found.append(run.answer(question))
        except Exception as error:
            found.append(error)
    return found
