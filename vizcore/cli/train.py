"""``vizcore train``: from pictures to a folder with a network."""

from __future__ import annotations

import json as json_module
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from vizcore.cli import bars, console
from vizcore.cli.render import interruptible, memory_errors, writable
from vizcore.errors import SpecError
from vizcore.train import orders
from vizcore.train.orders import Order

if TYPE_CHECKING:
    from vizcore.train.runner import Runner


@dataclass(frozen=True)
class Setting:
    """Where and how it is trained."""

    out: Path
    fresh: bool
    tensorboard: bool
    threads: int | None
    device: str
    words: tuple[str, ...] = ()  # of the command line, for the card


def ordered(
    dataset: str, values: dict[str, Any], given: dict[str, Any], pairs: list[str], recipe: dict[str, Any]
) -> Order:
    """The order of a command line; ``given`` and ``pairs`` are options of the architecture.

    Raises:
        SpecError: a list that is none, a value out of range.
    """
    options = {key: value for key, value in given.items() if value is not None}
    for key in ("filters", "units"):
        if key in options:
            options[key] = orders.numbers(options[key], key)
    for pair in pairs:
        key, equals, text = pair.partition("=")
        try:
            options[key.strip()] = json_module.loads(text) if equals else None
        except ValueError:
            options[key.strip()] = None
        if options[key.strip()] is None:
            raise SpecError(f"--option has {pair[:40]!r}, which is no name=value.", "Write --option stem=[32,3,1].")
    return orders.order(dataset, recipe, options=options or None, **values)


def train(what: Order, setting: Setting) -> console.Result:
    """Carry out an order; Ctrl-C ends it, and the same command goes on at the last epoch that was finished."""
    import torch

    from vizcore.engine import devices
    from vizcore.memory import keep_freed
    from vizcore.train.runner import Runner

    keep_freed()
    device = devices.choose(setting.device)
    if setting.threads is not None:
        torch.set_num_threads(setting.threads)
    else:
        devices.set_threads(False)
    writable(setting.out)
    runner = Runner(what, setting.out, device, setting.fresh, _command(setting.words))
    board = _board(setting.out) if setting.tensorboard else None
    began = time.perf_counter()
    with memory_errors():
        with bars.download(f"fetching {orders.named(what)}") as fetching, bars.counted("reading") as reading:
            runner.prepare(reading, fetching, allow_factory=True)
        if not any(isinstance(part, torch.nn.Conv2d) for part in runner.made.module.modules()):
            torch.set_num_threads(1)  # dense layers this small wait longer for the threads than they compute
        told = _go(runner, board)
        facts = runner.finish() if told["state"] == "done" else {}
    training = runner.training
    data = {
        "out": str(setting.out), "dataset": runner.dataset.name, "classes": list(runner.dataset.classes),
        "skipped": runner.dataset.skipped, "pictures": len(runner.train), "resumed_from": runner.resumed,
        "epochs": [vars(epoch) for epoch in training.epochs], "best": training.best + 1,
        "precision": training.precision, "device": device, "seconds": round(time.perf_counter() - began, 2), **told,
        "failed_seeds": [vars(item) for item in runner.failed], "seed": runner.seed,
        "accuracy": facts.get("accuracy"), "robust_accuracy": facts.get("robust_accuracy"),
    }  # fmt: skip
    return console.Result(data, _view(data), console.INTERRUPTED if told["state"] == "interrupted" else 0)


def _go(runner: Runner, board: Any) -> dict[str, Any]:
    """Train, with a bar and a line for each epoch."""
    from vizcore.train.loop import Epoch, Step

    training = runner.training
    notes: list[str] = []
    state = "done"
    people = console.people()
    if runner.resumed:
        people.print(f"goes on after epoch {runner.resumed}")
    if runner.dataset.skipped:
        people.print(f"[yellow]skipped[/] {runner.dataset.skipped} pictures that cannot be read")
    with interruptible() as interrupted, bars.steps(orders.named(runner.order), _total(runner)) as advance:
        for event in runner.run():
            if isinstance(event, Step):
                advance((event.epoch - 1) * event.steps + event.step)
                if event.note:
                    notes.append(event.note)
                    people.print(f"[yellow]note[/] {event.note}")
            elif isinstance(event, Epoch):
                people.print(line(event, runner.order.recipe.epochs))
                if board is not None:
                    _write(board, event)
            else:
                people.print(f"seed {event.seed} stayed at {event.accuracy:.1%}")
            if interrupted():
                state = "interrupted"
                break
        training = runner.training
    if state == "done" and len(training.epochs) < runner.order.recipe.epochs:
        notes.append(f"stopped early: no better validation for {runner.order.recipe.patience} epochs")
    return {"state": state, "notes": notes}


def line(epoch: Any, epochs: int) -> str:
    """One epoch for people."""
    text = f"epoch {epoch.epoch}/{epochs}  loss {epoch.loss:.4f}  right {epoch.accuracy:.1%}"
    if epoch.validation_accuracy is not None:
        text += f"  validation {epoch.validation_accuracy:.2%}"
    return text + f"  {epoch.seconds:.1f} s"


def _total(runner: Runner) -> int:
    return runner.training.steps * runner.order.recipe.epochs


def _command(words: tuple[str, ...]) -> str:
    return shlex.join(["vizcore", *(word for word in words if word not in ("--json", "--fresh"))]) if words else ""


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SpecError("TensorBoard is not installed.", 'Run pip install "vizcore[tensorboard]".') from None
    return SummaryWriter(str(folder / "tensorboard"))


def _write(board: Any, epoch: Any) -> None:
    for key in ("loss", "accuracy", "validation_loss", "validation_accuracy", "lr"):
        value = getattr(epoch, key)
        if value is not None:
            board.add_scalar(key, value, epoch.epoch)
    board.flush()


def _view(data: dict[str, Any]) -> RenderableType:
    lines = [f"{len(data['epochs'])} epochs of {data['pictures']} pictures on {data['device']}, {data['precision']}"]
    if data["failed_seeds"]:
        seeds = ", ".join(f"{item['seed']} ({item['accuracy']:.0%})" for item in data["failed_seeds"])
        lines.append(f"seeds that failed: {seeds}; seed {data['seed']} did not")
    if data["accuracy"] is not None:
        lines.append(f"accuracy {data['accuracy']:.2%} of the best epoch, {data['best']}")
    if data["robust_accuracy"] is not None:
        lines.append(f"under attack {data['robust_accuracy']:.2%}")
    lines.append(f"network in {console.cell(data['out'])}; use {console.cell(data['out'])}/weights.safetensors")
    if data["state"] == "interrupted":
        lines.append("[yellow]interrupted[/]: the same command goes on after the last epoch that was finished")
    lines += [f"[yellow]note[/] {console.cell(note)}" for note in data["notes"]]
    return Group(*lines)
