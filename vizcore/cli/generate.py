"""``vizcore generate``: chains of codes that walk towards classes or units, and the pictures that they paint.

::

    network, generator ─► targets × chains ─► walk ─► samples (ends of legs) ─► those above ─► sheet.png, generate.json
"""

from __future__ import annotations

import json as json_module
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType

import vizcore
from vizcore.cli import bars, console
from vizcore.cli.render import interruptible, memory_errors, open_network, writable
from vizcore.errors import SpecError
from vizcore.generate import spec as specs
from vizcore.spec import parse_channels

if TYPE_CHECKING:
    from torch import Tensor

    from vizcore.generate.condition import Classes, Eyes, Known, Units
    from vizcore.generate.generator import Generator
    from vizcore.generate.sampler import Sampler
    from vizcore.zoo.load import Network

SHEET, FACTS = "sheet.png", "generate.json"
MOST = 256  # rows of a batch
SMALL = 64  # px of pictures that one thread paints
TILE = 96  # px of a tile of the sheet, at least
_UNIT = re.compile(r"(?P<layer>[^:@]+):(?P<list>[0-9,\s-]+)(?:@(?P<y>\d+),(?P<x>\d+))?", re.ASCII)


@dataclass(frozen=True)
class Order:
    """What is to be generated, as it stands on the command line."""

    model: str
    arch: str | None
    generator: str
    classes: str
    unit: str
    variant: str
    chains: int
    above: float
    transfer: str
    picture: Path | None
    mask: Path | None
    fit: str
    values: dict[str, Any]


@dataclass
class Found:
    """A sample: where a leg of a chain ended."""

    target: int
    chain: int
    step: int
    activation: float
    probability: float | None
    kept: bool
    transfer_probability: float | None = None
    transfer_class: int | None = None
    file: str = ""
    picture: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)


@dataclass(frozen=True)
class Target:
    """Classes, or channels of a layer."""

    layer: str
    numbers: tuple[int, ...]
    position: tuple[int, int] | None = None


def generate(order: Order, out: Path) -> console.Result:
    """Carry out ``order``; what can be refused is refused before the first step."""
    import torch

    from vizcore.engine import devices
    from vizcore.generate.condition import FITS, Eyes
    from vizcore.generate.generator import pixels_of
    from vizcore.generate.names import open_generator
    from vizcore.generate.sampler import Sampler
    from vizcore.generate.walking import spread

    if order.fit not in FITS:
        raise SpecError(f"--fit cannot be {order.fit[:20]!r}.", f"Use one of {', '.join(FITS)}.")
    name = specs.variant(order.variant)
    walk = specs.walk(name, order.values)
    devices.set_threads(False)
    network = open_network(order.model, order.arch)
    generator = open_generator(order.generator, network)
    if name == "PPGN-x":
        generator = pixels_of(generator)
    if max(generator.image_size) <= SMALL:
        torch.set_num_threads(1)  # layers this small wait longer for the threads than they compute
    target = named(order.classes, order.unit, network)
    rows = [(number, chain) for number in target.numbers for chain in range(order.chains)]
    if len(rows) > MOST:
        raise SpecError(f"{len(rows)} chains are too many.", f"Use at most {MOST}, of all targets together.")
    condition = _condition(Eyes(network, generator, order.fit), target, [number for number, _ in rows])
    judge = _judge(order, network, generator, target, [number for number, _ in rows])
    code, known = _picture(order, generator)
    if known is not None and not walk.eps4:
        walk = specs.turned(walk, "eps4", 1.0)
    writable(out)
    began = time.perf_counter()
    with memory_errors():
        chains = [number * 1000 + chain for number, chain in rows]
        start = None if code is None else spread(code, generator, walk, chains, [chain == 0 for _, chain in rows])
        sampler = Sampler(walk, generator, chains, condition, start=start, known=known)
        samples, state, rolled = _walk(sampler, rows, order.above, judge)
    seconds = time.perf_counter() - began
    data = _data(order, name, sampler, network, target, samples) | {
        "state": state, "rolled_back": rolled, "seconds": round(seconds, 3),
        "seconds_per_chain": round(seconds / len(rows), 4),
    }  # fmt: skip
    _save(out, samples, data)
    return console.Result(data, _view(data), console.INTERRUPTED if state == "interrupted" else 0)


def named(classes: str, unit: str, network: Network) -> Target:
    """What ``--classes`` or ``--unit`` name; the first ten classes if nothing is.

    Raises:
        SpecError: both are given, or a list that is none.
    """
    if unit and classes:
        raise SpecError("--classes and --unit are both given.", "Give one of them.")
    if unit:
        match = _UNIT.fullmatch(unit.strip())
        if match is None:
            raise SpecError(f"--unit is {unit[:40]!r}, which is no unit.", "Write for example relu2:0-7.")
        position = None if match["y"] is None else (int(match["y"]), int(match["x"]))
        return Target(match["layer"].strip(), parse_channels(match["list"]), position)
    if not network.card.classes:
        raise SpecError("The network has no classes.", "Name --unit LAYER:LIST.")
    return Target("", parse_channels(classes or f"0-{min(10, len(network.card.classes)) - 1}"))


def _condition(eyes: Eyes, target: Target, numbers: Sequence[int]) -> Classes | Units:
    from vizcore.generate.condition import Classes, Units

    if target.layer:
        return Units(eyes, target.layer, numbers, target.position)
    return Classes(eyes, numbers)


def _judge(order: Order, network: Network, generator: Generator, target: Target,
           numbers: Sequence[int]) -> Classes | None:  # fmt: skip
    """The other network, for classes."""
    from vizcore.generate.condition import Classes, Eyes

    if not order.transfer:
        return None
    if target.layer:
        raise SpecError("Only classes can be judged by another network.", "Leave out --transfer, or name --classes.")
    other = open_network(order.transfer, None)
    if len(other.card.classes) != len(network.card.classes):
        raise SpecError("The other network has other classes.", "Name one of the same classes.")
    fit = order.fit if other.card.size == network.card.size else "resize"
    return Classes(Eyes(other, generator, fit), numbers)


def _picture(order: Order, generator: Generator) -> tuple[Tensor | None, Known | None]:
    """The code of ``--picture``, and what ``--mask`` says is known of it."""
    import torch

    from vizcore.generate.walking import coded
    from vizcore.look import pictures

    if order.picture is None:
        if order.mask is not None:
            raise SpecError("A mask needs a picture.", "Add --picture FILE.")
        return None, None
    mask = pictures.read(order.mask) if order.mask is not None else None
    return coded(pictures.read(order.picture), mask, generator, torch.device("cpu"))


def _walk(sampler: Sampler, rows: Sequence[tuple[int, int]], above: float,
          judge: Classes | None) -> tuple[list[Found], str, int]:  # fmt: skip
    """Walk to the end; the samples, how it ended, and how many codes were not finite."""
    import torch

    samples: list[Found] = []
    rolled = 0
    latest = None
    with interruptible() as interrupted, bars.steps("chains", sampler.walk.steps) as advance:
        for sample in sampler:
            rolled += sum(status != "ok" for status in sample.status)
            latest = sample
            stop = interrupted()
            if sample.ends or stop:
                with torch.no_grad():
                    logits = None if judge is None else judge.eyes.network.module(judge.eyes(sample.pictures))
                samples += _ended(sample, rows, above, logits)
            advance(sample.step)
            if stop:
                return samples, "interrupted", rolled
    assert latest is not None
    return samples, "done", rolled


def _ended(sample: Any, rows: Sequence[tuple[int, int]], above: float, logits: Tensor | None) -> list[Found]:
    pictures = (sample.pictures * 255 + 0.5).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    result = []
    for row, (number, chain) in enumerate(rows):
        probability = float(sample.probability[row])
        hidden = probability != probability
        one = Found(number, chain, sample.step, float(sample.activation[row]), None if hidden else probability,
                    hidden or probability >= above, picture=pictures[row])  # fmt: skip
        if logits is not None:
            one.transfer_probability = float(logits[row].softmax(0)[number])
            one.transfer_class = int(logits[row].argmax())
        result.append(one)
    return result


def _data(order: Order, name: str, sampler: Sampler, network: Network, target: Target,
          samples: Sequence[Found]) -> dict[str, Any]:  # fmt: skip
    from vizcore.ruler import diversity

    names = network.card.classes
    targets = []
    for number in target.numbers:
        mine = [one for one in samples if one.target == number]
        kept = [one for one in mine if one.kept]
        targets.append({
            "target": number, "name": target.layer or names[number], "samples": len(mine), "kept": len(kept),
            "activation": float(np.mean([one.activation for one in mine])),
            "probability": None if target.layer else float(np.mean([one.probability or 0.0 for one in mine])),
            "transferred": None if not order.transfer else sum(one.transfer_class == number for one in mine),
            "diversity": diversity(np.stack([one.picture for one in kept])) if kept else None,
        })  # fmt: skip
    notes = [sampler.note] if sampler.note else []
    if not any(one.kept for one in samples):
        notes.append(f"No sample reached a probability of {order.above:g}; the sheet shows them all.")
    return {
        "model": order.model, "generator": sampler.generator.name, "variant": name, "layer": target.layer,
        "walk": asdict(sampler.walk), "weights_hash": network.card.weights_hash, "licence": sampler.generator.licence,
        "vizcore": vizcore.__version__, "chains": order.chains, "above": order.above, "targets": targets,
        "notes": notes,
    }  # fmt: skip


def _save(out: Path, samples: Sequence[Found], data: dict[str, Any]) -> None:
    """Each kept sample, the sheet of all of them, and what is known as JSON."""
    from vizcore.export import contact_sheet, write_atomically
    from vizcore.look import display, sheets

    shown = [one for one in samples if one.kept] or list(samples)
    facts = {key: data[key] for key in ("model", "generator", "variant", "layer", "walk", "weights_hash")}
    tiles, captions = [], []
    for one in shown:
        rgb = np.repeat(one.picture, 3, 2) if one.picture.shape[2] == 1 else one.picture
        one.file = f"{one.target:04d}-{one.chain:02d}-{one.step:05d}.png"
        sheets.save(out / one.file, rgb, {**facts, "target": one.target, "chain": one.chain, "step": one.step})
        side = max(TILE, *rgb.shape[:2])
        tiles.append(sheets.square(display.enlarge(rgb, side), side))
        value = one.activation if one.probability is None else one.probability
        captions.append(f"{one.target}: {value:.3g}")
    columns = data["chains"] * max(1, 8 // data["chains"])
    sheets.save(out / SHEET, contact_sheet(np.stack(tiles), captions, columns), facts)
    plain = [{key: value for key, value in vars(one).items() if key != "picture"} for one in samples]
    data["samples"], data["sheet"] = plain, str(out / SHEET)
    write_atomically(out / FACTS, (json_module.dumps(console.plain(data), indent=1) + "\n").encode())


def _view(data: dict[str, Any]) -> RenderableType:
    columns = ("target", "name", "samples", "kept", "activation", "probability", "transferred", "diversity")
    table = console.table(*columns, numbers=(columns[0], *columns[2:]))
    for one in data["targets"]:
        table.add_row(*(console.cell(one[key]) for key in columns))
    lines = [
        f"{data['variant']} with {console.cell(data['generator'])}: {data['walk']['steps']} steps in "
        f"{data['seconds']:.1f} s ({data['seconds_per_chain']:.2f} s a chain); sheet: {console.cell(data['sheet'])}"
    ]
    if data["rolled_back"]:
        lines.append(f"[yellow]note[/] {data['rolled_back']} codes were not finite and went back to the last that was")
    if data["state"] == "interrupted":
        lines.append("[yellow]interrupted[/]: these are the samples of the last step")
    lines += [f"[yellow]note[/] {console.cell(note)}" for note in data["notes"]]
    return Group(table, "", *lines)
