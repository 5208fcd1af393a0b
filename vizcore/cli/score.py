"""``vizcore score``: one ruler for pictures of the same units by several methods."""

from __future__ import annotations

import json as json_module
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType

import vizcore
from vizcore.cli import bars, console
from vizcore.cli.render import memory_errors, open_network, writable
from vizcore.errors import SpecError
from vizcore.rulertable import COLUMNS, Length, table

FACTS, SHEET, PLOT = "score.json", "sheet.png", "plot.svg"
TILE = 64  # px of a tile of the sheet, at least


@dataclass(frozen=True)
class Order:
    """What is to be compared, as it stands on the command line."""

    model: str
    arch: str | None
    dataset: str
    data: Path | None
    classes: str
    unit: str
    methods: str
    generator: str
    transfer: str
    seeds: int
    steps: int
    most: int
    fit: str


def score(order: Order, out: Path) -> console.Result:
    """Carry out ``order``; what can be refused is refused before the first picture."""
    import torch

    from vizcore import ruler
    from vizcore.cli.generate import named
    from vizcore.engine import devices
    from vizcore.generate.condition import FITS
    from vizcore.generate.names import open_generator
    from vizcore.train.data import open_dataset

    if order.fit not in FITS:
        raise SpecError(f"--fit cannot be {order.fit[:20]!r}.", f"Use one of {', '.join(FITS)}.")
    devices.set_threads(False)
    network = open_network(order.model, order.arch)
    target = named(order.classes, order.unit, network)
    if target.position is not None:
        raise SpecError("The ruler measures whole channels.", "Leave out the position.")
    generator = open_generator(order.generator, network) if order.generator else None
    other = open_network(order.transfer, None) if order.transfer else None
    known = [name for name in ruler.METHODS if generator is not None or name not in ruler.WALKS]
    methods = tuple(text.strip() for text in order.methods.split(",")) if order.methods.strip() else tuple(known)
    plan = ruler.Order(target.layer, target.numbers, methods, order.seeds, order.steps)
    with bars.download(f"fetching {order.dataset}") as fetching, bars.counted("reading") as reading:
        size = None if order.dataset in ("efl", "mnist", "svhn") else network.card.size
        dataset = open_dataset(order.dataset, order.data, size, None, 0, reading, fetching)
    real = (dataset.test or dataset.any).images
    chosen = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[: order.most]
    measure = ruler.Ruler(network, plan, real[chosen], generator, other, order.fit)
    writable(out)
    began = time.perf_counter()
    lengths: list[Length] = []
    tiles: list[np.ndarray] = []
    captions: list[str] = []
    with memory_errors(), bars.steps("methods", len(methods) + 1) as advance:
        for number, (method, pictures, found) in enumerate(measure.measure(), 1):
            lengths += found
            shown = pictures if method == ruler.REAL else pictures[:: order.seeds]
            tiles += list(shown)
            captions += [f"{method} {unit}" for unit in target.numbers]
            advance(number)
    rows = [asdict(one) for one in lengths]
    data = {
        "model": order.model, "layer": target.layer, "units": list(target.numbers), "dataset": dataset.name,
        "real": len(chosen), "generator": order.generator, "transfer": order.transfer, "seeds": order.seeds,
        "table": table(rows), "units_table": rows, "vizcore": vizcore.__version__,
        "weights_hash": network.card.weights_hash, "seconds": round(time.perf_counter() - began, 2),
    }  # fmt: skip
    _save(out, data, tiles, captions, len(target.numbers))
    return console.Result(data, _view(data))


def _save(out: Path, data: dict[str, Any], tiles: list[np.ndarray], captions: list[str], columns: int) -> None:
    from vizcore.export import contact_sheet, write_atomically
    from vizcore.look import display, sheets
    from vizcore.rulerplot import plot

    colour = [np.repeat(tile, 3, 2) if tile.shape[2] == 1 else tile for tile in tiles]
    side = max(TILE, *(tile.shape[0] for tile in colour))
    large = np.stack([sheets.square(display.enlarge(tile, side), side) for tile in colour])
    facts = {key: data[key] for key in ("model", "layer", "units", "dataset", "generator")}
    data["sheet"] = str(sheets.save(out / SHEET, contact_sheet(large, captions, columns), facts))
    what = f"{data['layer']} {', '.join(map(str, data['units']))}" if data["layer"] else "classes"
    drawn = plot(data["table"], f"{Path(data['model']).name}, {what}", COLUMNS)
    write_atomically(out / PLOT, drawn.encode())
    data["plot"] = str(out / PLOT)
    write_atomically(out / FACTS, (json_module.dumps(console.plain(data), indent=1) + "\n").encode())


def _view(data: dict[str, Any]) -> RenderableType:
    view = console.table("method", *COLUMNS, numbers=COLUMNS)
    for row in data["table"]:
        view.add_row(row["method"], *(console.cell(row[column]) for column in COLUMNS))
    text = (
        f"means over {len(data['units'])} units and {data['seeds']} seeds, against {data['real']} real pictures; "
        f"sheet: {console.cell(data['sheet'])}, plot: {console.cell(data['plot'])}"
    )
    return Group(view, "", text)
