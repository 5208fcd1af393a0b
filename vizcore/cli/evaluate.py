"""``vizcore evaluate``: how good networks are, alone and together, and what they take for what."""

from __future__ import annotations

import json as json_module
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from vizcore.cli import bars, console
from vizcore.cli.render import memory_errors, open_network, writable
from vizcore.errors import PictureError, SpecError
from vizcore.export import write_atomically
from vizcore.look import sheets

if TYPE_CHECKING:
    from vizcore.train.data import Dataset, Part
    from vizcore.train.evaluate import Report
    from vizcore.zoo.load import Network

PARTS = ("test", "validate", "train")


@dataclass(frozen=True)
class Order:
    """What is to be judged, as it stands on the command line."""

    models: tuple[str, ...]
    arch: str | None
    dataset: str
    data: Path | None
    part: str
    most: int
    robust: str


def network_of(model: str, arch: str | None) -> Network:
    """The network of a name or file, or of a folder that ``vizcore train`` wrote."""
    weights = Path(model) / "weights.safetensors"
    return open_network(str(weights) if weights.is_file() else model, arch)


def pictures_of(network: Network, dataset: str, data: Path | None, part: str) -> tuple[Dataset, Part]:
    """The pictures of a data set as the network takes them.

    Raises:
        SpecError: there is no part of that name.
        PictureError: the data set does not have it.
    """
    from vizcore.train.data import open_dataset

    if part not in PARTS:
        raise SpecError(f"There is no part {part[:40]!r}.", f"Use {', '.join(PARTS)}.")
    card = network.card
    named = dataset in ("efl", "mnist", "svhn")
    with bars.download(f"fetching {dataset}") as fetching, bars.counted("reading") as reading:
        found = open_dataset(
            dataset, data, None if named else card.size, None if named else card.channels, 0, reading, fetching
        )
    chosen: Part | None = getattr(found, part)
    if chosen is None and part == "test" and not (found.validate or found.test):
        chosen = found.train  # class folders without parts
    if chosen is None:
        there = [name for name in PARTS if getattr(found, name) is not None]
        raise PictureError(f"The data set has no part {part}.", f"Use --part {' or '.join(there)}.")
    return found, chosen


def labelled(part: Part, classes: tuple[str, ...], wanted: tuple[str, ...]) -> Part:
    """``part`` with the labels of a network, which knows the classes ``wanted``.

    Names are the same if they differ in capitals, spaces, hyphens and underscores alone.

    Raises:
        PictureError: the network does not know a class that occurs.
    """
    import torch

    from vizcore.train.evaluate import numbered

    if classes == wanted or numbered(wanted):
        return part
    known = {_plain(name): index for index, name in reversed(list(enumerate(wanted)))}
    table = torch.tensor([known.get(_plain(name), -1) for name in classes])
    labels = table[part.labels]
    if (labels < 0).any():
        strange = classes[int(part.labels[labels < 0][0])]
        names = ", ".join(wanted[:10]) + (" ..." if len(wanted) > 10 else "")
        raise PictureError(f"There is no {strange[:40]!r} among the network's classes.", f"They are {names[:300]}.")
    return replace(part, labels=labels)


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ")


def evaluate(order: Order, out: Path, device: str) -> console.Result:
    """Carry out ``order``."""
    from vizcore.engine import devices
    from vizcore.train import recipe as recipes
    from vizcore.train.evaluate import Report, as_taken, evaluating, under_attack

    chosen = devices.choose(device)
    robust = recipes.parse_robust(order.robust)
    devices.set_threads(False)
    networks = [network_of(model, order.arch).to(chosen) for model in order.models]
    writable(out)
    largest = max(networks, key=lambda network: network.card.size)
    dataset, part = pictures_of(largest, order.dataset, order.data, order.part)
    part = labelled(part, dataset.classes, networks[0].card.classes)
    if order.most:
        part = part.pick(_some(len(part), order.most))
    began = time.perf_counter()
    report: Report | None = None
    with memory_errors(), bars.steps(f"{order.part} of {dataset.name}", len(part)) as advance:
        for progress in evaluating(networks, part):
            if isinstance(progress, Report):
                report = progress
            else:
                advance(progress)
        assert report is not None
        attacked = []
        if robust is not None:
            parts = (as_taken(network, networks, part) for network in networks)
            attacked = [under_attack(n, p, robust.epsilon, 20, 0.125) for n, p in zip(networks, parts, strict=True)]
    classes = networks[0].card.classes
    data: dict[str, Any] = {
        "models": list(order.models), "dataset": dataset.name, "part": order.part, "pictures": len(part),
        "skipped": dataset.skipped, "accuracy": report.accuracy, "loss": report.loss, "members": list(report.members),
        "robust_accuracy": attacked, "classes": list(classes), "confusion": report.confusion,
        "confused": [{"label": classes[a], "taken_for": classes[b], "count": n} for a, b, n in report.pairs()],
        "mistakes": _mistakes(report, part, classes), "curves": {model: _curves(model) for model in order.models},
        "seconds": round(time.perf_counter() - began, 3), "device": chosen,
    }  # fmt: skip
    data["files"] = _draw(out, data, report, part)
    file = out / "evaluation.json"
    write_atomically(file, json_module.dumps(console.plain(data)).encode())
    data["report"] = str(file)
    return console.Result(data, _view(data))


def _some(count: int, most: int) -> Any:
    import torch

    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most].sort().values


def _mistakes(report: Report, part: Part, classes: tuple[str, ...], most: int = 24) -> list[dict[str, Any]]:
    return [
        {
            "row": item.row, "name": part.names[item.row] if part.names else "", "label": classes[item.label],
            "taken_for": classes[item.taken_for], "probability": round(item.probability, 4),
        }
        for item in report.mistakes[:most]
    ]  # fmt: skip


def _curves(model: str) -> list[dict[str, float | None]]:
    """The log beside a network, if it was trained here."""
    from vizcore.train.folder import LOG, read_log

    path = Path(model)
    return read_log((path if path.is_dir() else path.parent) / LOG)


def _draw(out: Path, data: dict[str, Any], report: Report, part: Part) -> list[str]:
    """Pictures of the confusion matrix, the surest mistakes, and the curves where there are any."""
    from vizcore.train import charts

    facts = {key: data[key] for key in ("models", "dataset", "part", "accuracy")}
    files = [sheets.save(out / "confusion.png", charts.confusion(report.confusion.numpy(), data["classes"]), facts)]
    if data["mistakes"]:
        rows = [item["row"] for item in data["mistakes"]]
        captions = [f"{item['label']} > {item['taken_for']} {item['probability']:.0%}" for item in data["mistakes"]]
        files.append(sheets.save(out / "mistakes.png", charts.mistakes(part.images[rows].numpy(), captions), facts))
    logs = {Path(model).stem: rows for model, rows in data["curves"].items() if rows}
    for key in ("loss", "accuracy"):
        lines = {}
        for name, log in logs.items():
            start = f"{name} " if len(logs) > 1 else ""
            lines[f"{start}training"] = [row[key] for row in log]
            lines[f"{start}validation"] = [row[f"validation_{key}"] for row in log]
        if lines:
            files.append(sheets.save(out / f"{key}.png", charts.curves(lines, key), facts))
    return [str(file) for file in files]


def _view(data: dict[str, Any]) -> RenderableType:
    columns = ("label", "taken for", "times")
    table = console.table(*columns, numbers=("times",))
    for item in data["confused"]:
        table.add_row(*map(console.cell, item.values()))
    lines = [f"accuracy {data['accuracy']:.2%} on {data['pictures']} pictures ({data['part']} of {data['dataset']})"]
    if len(data["members"]) > 1:
        alone = ", ".join(f"{value:.2%}" for value in data["members"])
        lines[0] += f" together; alone {alone}"
    if data["robust_accuracy"]:
        lines.append("under attack " + ", ".join(f"{value:.2%}" for value in data["robust_accuracy"]))
    if data["skipped"]:
        lines.append(f"[yellow]skipped[/] {data['skipped']} that cannot be read")
    lines.append(f"{len(data['files'])} pictures and {console.cell(data['report'])}")
    return Group(table, "", *lines) if data["confused"] else Group(*lines)
