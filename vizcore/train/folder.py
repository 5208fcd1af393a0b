"""What a training leaves on disk, so that nothing is lost and nothing is half there.

::

    OUT/weights.safetensors, card.json         the best epoch: a network like any other
    OUT/last/weights.safetensors, card.json    the last epoch
    OUT/log.csv                                one line for each epoch
    OUT/training.json                          the order: what was asked for
    OUT/resume.pt                              until the end: all that is needed to go on

Each file is there whole or as it was before; ``resume.pt`` is written last, so a kill costs at most its epoch.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from vizcore.errors import TrainingError
from vizcore.export import drafted, write_atomically
from vizcore.train.loop import Epoch, Training
from vizcore.zoo import card as cards
from vizcore.zoo.card import Card

LAST, LOG, ORDER, RESUME = "last", "log.csv", "training.json", "resume.pt"
COLUMNS = tuple(field.name for field in dataclasses.fields(Epoch))


class Folder:
    """The folder of one training.

    Args:
        order: what was asked for, as JSON values: a training goes on only where it is equal.
        half: store weights in half precision, at half the size.
    """

    def __init__(self, path: Path, order: Mapping[str, Any], half: bool = False) -> None:
        self.path, self.half = path, half
        self._order = json.loads(json.dumps(order))

    def begin(self, fresh: bool) -> dict[str, Any] | None:
        """Prepare the folder; the checkpoint to go on from, if an equal training was cut off here.

        Raises:
            TrainingError: another training, or a finished one, is in this folder, and ``fresh`` was not asked for.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        there = self._read_order()
        if there is not None and not fresh:
            if there != self._order:
                changed = next((k for k in {**there, **self._order} if there.get(k) != self._order.get(k)), "")
                raise TrainingError(
                    f"Another training is in this folder (its {changed.replace('_', ' ')} differs).",
                    "Use another --out, or --fresh to begin anew.",
                )
            if (self.path / RESUME).is_file():
                return self._read_resume()
            if (self.path / cards.WEIGHTS).is_file():
                raise TrainingError(
                    "The training in this folder is finished.", "Use another --out, or --fresh to begin anew."
                )
        elif there is None and (self.path / cards.WEIGHTS).is_file() and not fresh:
            raise TrainingError("There are weights in this folder.", "Use another --out, or --fresh to replace them.")
        (self.path / RESUME).unlink(missing_ok=True)
        write_atomically(self.path / ORDER, (json.dumps(self._order, indent=2) + "\n").encode())
        return None

    def keep(self, training: Training, card: Card, extra: Mapping[str, Any]) -> None:
        """Write the epoch that has just ended; ``extra`` goes into the checkpoint, and comes back with it."""
        state = training.state()
        last = training.epochs[-1]
        write_network(self.path / LAST, state, _told(card, training, last), self.half)
        if training.best == len(training.epochs) - 1:
            write_network(self.path, state, _told(card, training, last), self.half)
        write_atomically(self.path / LOG, log(training.epochs).encode())
        with drafted(self.path / RESUME) as draft:
            torch.save({**training.checkpoint(), **extra}, draft)

    def finish(self) -> None:
        """Nothing is to go on from here."""
        (self.path / RESUME).unlink(missing_ok=True)

    def _read_order(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.path / ORDER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _read_resume(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = torch.load(self.path / RESUME, map_location="cpu", weights_only=True)
        except Exception:  # torch's errors for damaged files are of a dozen types
            raise damaged() from None
        if not isinstance(found, dict) or not isinstance(found.get("runner"), dict):
            raise damaged()
        return found


def damaged() -> TrainingError:
    """A checkpoint cannot be gone on from."""
    return TrainingError("The checkpoint in this folder is damaged.", "Use --fresh to begin anew.")


def write_network(folder: Path, state: Mapping[str, torch.Tensor], card: Card, half: bool = False) -> None:
    """``weights.safetensors`` and ``card.json`` in ``folder``; the card knows the sha256 of the weights file."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        key: (value.half() if half and value.is_floating_point() else value).contiguous()
        for key, value in state.items()
    }
    data = save(values)
    facts = {**card.facts, "sha256": hashlib.sha256(data).hexdigest()}
    write_atomically(folder / cards.WEIGHTS, data)
    write_card(folder, dataclasses.replace(card, facts=facts))


def write_card(folder: Path, card: Card) -> None:
    """``card.json`` in ``folder``, in the form of the bundled ones."""
    data = cards.to_dict(card)
    del data["source"], data["weights_hash"]  # they belong to a network that is loaded
    write_atomically(folder / cards.CARD, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())


def log(epochs: list[Epoch]) -> str:
    """The epochs as CSV, with a head."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for epoch in epochs:
        values = dataclasses.astuple(epoch)
        writer.writerow(["" if v is None else v if isinstance(v, int) else f"{v:.6g}" for v in values])
    return stream.getvalue()


def read_log(path: Path) -> list[dict[str, float | None]]:
    """The epochs of a ``log.csv``; none if it is no such file."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [{key: float(row[key]) if row[key] else None for key in COLUMNS} for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _told(card: Card, training: Training, last: Epoch) -> Card:
    """``card`` with what is known of the training so far."""
    facts = {
        **card.facts,
        "seed": training.recipe.seed,
        "epochs": last.epoch,
        "seconds": round(sum(epoch.seconds for epoch in training.epochs)),
    }
    if last.validation_accuracy is not None:
        facts["validation_accuracy"] = round(last.validation_accuracy, 4)
    return dataclasses.replace(card, facts=facts)
