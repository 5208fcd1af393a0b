"""Trainings in several rounds, as the scripts of some bundled networks make them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vizcore.cli import console, main
from vizcore.errors import TrainingError
from vizcore.train.folder import ORDER, RESUME
from vizcore.zoo.card import WEIGHTS


def train(rounds: Sequence[Sequence[str]], more: Sequence[str]) -> int:
    """Carry out commands of ``vizcore train``, each with ``--out``, one after the other; returns the exit code.

    A round that is finished is not repeated unless ``more`` has ``--fresh``, so the same words go on where they were
    cut off.  Whether the last folder may be written to is seen before the first round.
    """
    fresh = "--fresh" in more
    last = _out(rounds[-1])
    if not fresh and (last / WEIGHTS).is_file() and not (last / ORDER).is_file():
        error = TrainingError("There are weights in the folder of the last round.", "Use --fresh to replace them.")
        return console.fail(error, "--json" in more)
    for words in rounds:
        out = _out(words)
        done = (out / ORDER).is_file() and (out / WEIGHTS).is_file() and not (out / RESUME).is_file()
        if done and not fresh and out != last:
            continue
        code = main([*words, *more])
        if code:
            return code
    return 0


def _out(words: Sequence[str]) -> Path:
    return Path(words[words.index("--out") + 1])
