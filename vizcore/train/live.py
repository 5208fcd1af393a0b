"""A training in a process of its own, for a page: orders in, events out, one JSON object a line.

::

    {"do": "start", "order": {...}, "out": "...", "device": "cpu", "every": 50}
    {"do": "pause"}  {"do": "go"}  {"do": "stop"}

    ready, step, epoch, filters, failed, note, done, stopped, error

When the input ends, the training does, at its last epoch: a server that is gone leaves none behind.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from vizcore.ascent import ascend
from vizcore.engine import devices, failures
from vizcore.errors import VizcoreError
from vizcore.export import contact_sheet, png_bytes, write_atomically
from vizcore.layers import list_in_order
from vizcore.look import display
from vizcore.memory import keep_freed
from vizcore.spec import build
from vizcore.train import evaluate
from vizcore.train import recipe as recipes
from vizcore.train.data.parts import Part, pieces
from vizcore.train.loop import Epoch, Step
from vizcore.train.orders import Order
from vizcore.train.runner import Runner
from vizcore.zoo.card import default_size
from vizcore.zoo.load import Network

STEPS = 48  # of each ascent: enough to tell filters apart
MOST = 12  # filters
SIZE = 96  # px at most
JUDGED = 2000  # validation pictures that the confusion matrix is made of
KEPT = 24  # mistakes whose pictures are kept
ACROSS = 4  # pictures in a row of the sheet
WIDE, TILE = 640, 320  # px of such a row, and of a picture at most: few are shown larger, as a page would
BATCH = 250  # pictures that are judged at once
EVERY = 0.1  # seconds between two events of steps
SHARE = 0.3  # of the time may go into pictures of filters; else they wait
_NICE = 5  # the page's engine comes first


class Live:
    """One training, and what a page sees of it.

    Args:
        every: batches between two ascents of the filters.
    """

    def __init__(self, runner: Runner, every: int, out: TextIO, inbox: queue.Queue[dict[str, Any]]) -> None:
        self._runner, self._every, self._out, self._inbox = runner, max(1, every), out, inbox
        self._folder = runner.out
        self._grown_at = self._took = self._stepped = 0.0

    def run(self) -> None:
        """Train to the end, or until told to stop; every outcome is an event."""
        runner = self._runner
        runner.prepare(lambda done, total: self._tell("reading", done=done, total=total))
        training, card = runner.training, runner.made.card
        self._layer, self._channels = _watched(Network(card, copy.deepcopy(training.module)))
        self._tell(
            "ready", classes=list(card.classes), pictures=len(runner.train), epochs=runner.order.recipe.epochs,
            steps=training.steps, resumed=runner.resumed, parameters=_weights(training.module),
            layer=self._layer, channels=list(self._channels), size=card.size, data=card.facts.get("data", ""),
            every=self._every, history=[vars(epoch) for epoch in training.epochs],
        )  # fmt: skip
        self._count = len(list(self._pictures().glob("*.png")))
        if not self._count:
            self._grow(0)
        for event in runner.run():
            if isinstance(event, Step):
                self._step(event)
            elif isinstance(event, Epoch):
                self._epoch(event)
            else:
                self._tell("failed", seed=event.seed, accuracy=event.accuracy)
            if self._told_to_stop():
                self._tell("stopped", epoch=len(runner.training.epochs))
                return
        self._grow(runner.training.steps * len(runner.training.epochs))
        self._tell("done", facts=runner.finish())

    def _step(self, step: Step) -> None:
        now = time.perf_counter()
        number = (step.epoch - 1) * step.steps + step.step
        if step.note:
            self._tell("note", text=step.note)
        if now - self._stepped >= EVERY or step.step == step.steps:
            self._stepped = now
            self._tell("step", epoch=step.epoch, step=number, loss=step.loss, accuracy=step.accuracy)
        rested = now - self._grown_at >= self._took * (1 / SHARE - 1)
        if number % self._every == 0 and rested:
            self._grow(number)

    def _epoch(self, epoch: Epoch) -> None:
        runner, training = self._runner, self._runner.training
        found: dict[str, Any] = {}
        if runner.validate is not None:
            part = runner.validate.pick(torch.arange(min(len(runner.validate), JUDGED)))
            with training.settled():
                device = next(training.module.parameters()).device
                logits = [
                    training.logits(part.images[rows].to(device).float() / 255) for rows in pieces(len(part), BATCH)
                ]
            report = evaluate.judge(torch.cat(logits).float().softmax(1).cpu(), part.labels)
            found = {"confusion": report.confusion.tolist(), "mistakes": self._mistakes(epoch.epoch, report, part)}
        self._tell("epoch", **vars(epoch), best=training.best + 1, **found)

    def _mistakes(self, epoch: int, report: evaluate.Report, part: Part) -> list[dict[str, Any]]:
        """Keep pictures of the surest mistakes; those of the epoch before the last are removed."""
        folder = self._folder / "mistakes"
        folder.mkdir(exist_ok=True)
        classes, told = self._runner.made.card.classes, []
        for index, item in enumerate(report.mistakes[:KEPT]):
            picture = part.images[item.row].permute(1, 2, 0).numpy()
            write_atomically(folder / f"{epoch * 100 + index}.png", png_bytes(picture))
            told.append({
                "picture": epoch * 100 + index, "label": classes[item.label], "taken_for": classes[item.taken_for],
                "probability": round(item.probability, 4),
            })  # fmt: skip
        for path in folder.glob("*.png"):
            if int(path.stem) // 100 < epoch - 1:
                path.unlink(missing_ok=True)
        return told

    def _grow(self, number: int) -> None:
        """Ascend the watched filters from the same start as ever, and keep their pictures."""
        began = time.perf_counter()
        training, card = self._runner.training, self._runner.made.card
        module = copy.deepcopy(training.module)
        module.load_state_dict(training.state())
        network = Network(card, module)
        size = min(default_size(card), SIZE)
        spec = build("training", self._layer, list(self._channels), "Crisp", size=size, steps=STEPS, seed=0)
        images = None
        with torch.enable_grad():
            for frame in ascend(spec, network, device=training.device, keep=lambda step: step == STEPS):
                images = frame.images if frame.images is not None else images
        if images is None:
            return
        across = min(len(images), ACROSS)
        side = min(TILE, WIDE // across)
        images = np.stack([display.enlarge(np.repeat(image, 3 // image.shape[2], 2), side, True) for image in images])
        sheet = contact_sheet(images, [str(channel) for channel in self._channels], across)
        write_atomically(self._pictures() / f"{self._count}.png", png_bytes(sheet))
        self._grown_at = time.perf_counter()
        self._took = self._grown_at - began
        self._tell("filters", index=self._count, step=number, seconds=round(self._took, 2))
        self._count += 1

    def _pictures(self) -> Path:
        folder = self._folder / "filters"
        folder.mkdir(exist_ok=True)
        return folder

    def _told_to_stop(self) -> bool:
        """Look into the inbox; while paused, wait there."""
        paused = False
        while True:
            try:
                asked = self._inbox.get(block=paused)
            except queue.Empty:
                return False
            if asked["do"] == "stop":
                return True
            if asked["do"] == "pause" and not paused:
                paused = True
                self._tell("paused")
            elif asked["do"] == "go" and paused:
                self._tell("going")
                return False

    def _tell(self, event: str, **values: Any) -> None:
        self._out.write(json.dumps({"event": event, **values}) + "\n")
        self._out.flush()


def _weights(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _watched(network: Network) -> tuple[str, tuple[int, ...]]:
    """The layer whose filters are shown, and which of them."""
    card = network.card
    layer = card.showcase_layer or list_in_order(network)[0].path
    return layer, card.showcase_channels[:MOST] or (0,)


def order_of(values: dict[str, Any]) -> Order:
    """The order in JSON values of :func:`vizcore.train.orders.to_dict`."""
    return Order(**{**values, "recipe": recipes.build(values["recipe"])})


def main() -> int:
    """Read the first order, carry it out, and listen for the rest meanwhile."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # what else is printed is no event
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICE)
    first = sys.stdin.readline()
    if not first:
        return 0
    told = json.loads(first)
    inbox: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()

    def fail(error: VizcoreError) -> None:
        out.write(json.dumps({"event": "error", "error": error.to_dict()}) + "\n")
        out.flush()

    try:
        keep_freed()
        devices.set_threads(False)
        device = devices.choose(told["device"])
        runner = Runner(order_of(told["order"]), Path(told["out"]), device)
        Live(runner, int(told["every"]), out, inbox).run()
    except Exception as error:
        log = failures.logger(Path(told["home"]))
        fail(failures.explain(error, log))
    return 0


def _listen(inbox: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        with contextlib.suppress(ValueError):
            inbox.put(json.loads(line))
    inbox.put({"do": "stop"})


if __name__ == "__main__":
    sys.exit(main())
