"""``vizcore train-generator``: from pictures and a network to a folder with a generator."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType

from vizcore.cli import bars, console
from vizcore.cli.render import interruptible, memory_errors, open_network, writable
from vizcore.errors import SpecError

EVERY = 100  # steps from one checkpoint to the next
DEFAULTS = {  # encoder, layer of the code, layer of the feature loss
    "mnist": ("digits", "relu3", "pool2"),
    "fer2013": ("faces", "block3", "block1"),
    "cifar10": ("cifar10", "block3", "block1"),
}


@dataclass(frozen=True)
class Order:
    """What is to be trained, as it stands on the command line."""

    dataset: str
    data: Path | None
    size: int | None
    channels: int | None
    encoder: str
    encoder_arch: str | None
    layer: str
    feature_layer: str
    title: str
    values: dict[str, Any]


def train_generator(order: Order, out: Path, fresh: bool, threads: int | None) -> console.Result:
    """Carry out ``order``; Ctrl-C ends it, and the same command goes on at the last checkpoint."""
    import torch

    from vizcore.engine import devices
    from vizcore.generate.training import Trainer, fitted, recipe
    from vizcore.memory import keep_freed
    from vizcore.train.data import named, open_dataset

    keep_freed()
    if threads is not None:
        torch.set_num_threads(threads)
    else:
        devices.set_threads(False)
    what = recipe(order.values)
    named(order.dataset)
    known = DEFAULTS.get(order.dataset, ("", "", "")) if not order.encoder else ("", "", "")
    encoder, layer = order.encoder or known[0], order.layer or known[1]
    feature = order.feature_layer or (known[2] if not order.layer else "")
    if not encoder or not layer:
        raise SpecError(
            f"Which layer of which network is the code for {Path(order.dataset).name[:60]}?",
            "Name --encoder MODEL and --layer LAYER; vizcore train makes such a network.",
        )
    writable(out)
    network = open_network(encoder, order.encoder_arch)
    with bars.download(f"fetching {order.dataset}") as fetching, bars.counted("reading") as reading:
        dataset = open_dataset(order.dataset, order.data, order.size, order.channels, what.seed, reading, fetching)
    if order.size is None:
        dataset = fitted(dataset, network.card.size)
    facts = {"command": _command(), "licence": dataset.facts.get("licence", "that of the pictures")}
    began = time.perf_counter()
    with memory_errors():
        trainer = Trainer(
            network, layer, dataset, out, what, feature_layer=feature, title=order.title, fresh=fresh, facts=facts
        )
        resumed = trainer.step
        losses, state = _go(trainer)
        found = trainer.finish() if state == "done" else {}
    data = {
        "out": str(out), "dataset": dataset.name, "encoder": encoder, "layer": layer, "pictures": len(trainer.train),
        "resumed_from": resumed, "steps": trainer.step, "losses": losses, "state": state, **found,
        "seconds": round(time.perf_counter() - began, 2),
    }  # fmt: skip
    return console.Result(data, _view(data), console.INTERRUPTED if state == "interrupted" else 0)


def _go(trainer: Any) -> tuple[list[dict[str, Any]], str]:
    losses: list[dict[str, Any]] = []
    people = console.people()
    if trainer.step:
        people.print(f"goes on after step {trainer.step}")
    with interruptible() as interrupted, bars.steps("generator", trainer.recipe.steps) as advance:
        for step in trainer.run():
            advance(step.step)
            losses.append(vars(step))
            if step.step % EVERY == 0 or interrupted() or trainer.finished:
                trainer.keep()
            if interrupted():
                return losses, "interrupted"
    if trainer.recipe.denoisers:
        with interruptible() as interrupted, bars.steps("denoisers", trainer.recipe.denoisers) as advance:
            for number in trainer.train_denoisers():
                advance(number)
                if interrupted():
                    return losses, "interrupted"
    return losses, "done"


def _command() -> str:
    words = ["vizcore", *(word for word in sys.argv[1:] if word not in ("--json", "--fresh"))]
    return shlex.join(words) if len(words) > 1 else ""


def _view(data: dict[str, Any]) -> RenderableType:
    lines = [
        f"{data['steps']} steps, {data['pictures']} pictures, code {data['layer']} of {console.cell(data['encoder'])}"
    ]
    if data["state"] == "done":
        lines.append(
            f"class kept {data['class_kept']:.1%}, error of pixels {data['image_error']:.4f}, of codes "
            f"{data['code_error']:.3f}"
        )
    else:
        lines.append("[yellow]interrupted[/]: the same command goes on after the last checkpoint")
    lines.append(f"generator in {console.cell(data['out'])}")
    return Group(*lines)
