"""``vizcore look``: pictures in, one sheet for each and method out.

::

    pictures ─► unit (named, or the strongest) ─► maps or relevance ─► sheet.png
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.console import Group, RenderableType

from vizcore.cli import bars, console
from vizcore.cli.render import memory_errors, open_network, writable
from vizcore.errors import LayerError, PictureError, SpecError
from vizcore.look import display, pictures, sheets
from vizcore.look.pictures import Picture

if TYPE_CHECKING:
    from vizcore.look.units import Unit
    from vizcore.zoo.load import Network

_NAMED = 10  # skipped pictures whose names are given


@dataclass(frozen=True)
class Order:
    """What is to be looked at, as it stands on the command line."""

    model: str
    arch: str | None
    images: tuple[Path, ...]
    layer: str
    channel: int | None
    neuron: str
    reduce: str
    method: str
    mode: str
    shared: bool
    focus: float
    size: int | None
    beside: tuple[str, ...]
    depth: str
    frames: int
    check: bool


@dataclass
class Work:
    """What has been done so far."""

    files: list[str] = field(default_factory=list)
    pictures: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    intercepted: int | None = None

    def caught(self, calls: int | None) -> None:
        """Note how many rectifiers a rule acted on; the most that any did is told."""
        if calls is not None:
            self.intercepted = max(self.intercepted or 0, calls)


def look(order: Order, out: Path, device: str) -> console.Result:
    """Carry out ``order``; what can be refused is refused before the first picture."""
    from vizcore.engine import devices

    chosen = devices.choose(device)
    _check(order)
    sources = list(gather(order.images))
    writable(out)
    devices.set_threads(False)
    networks = [open_network(name, order.arch if name == order.model else None).to(chosen)
                for name in (order.model, *order.beside)]  # fmt: skip
    network = networks[0]
    order = _with_layer(order, network)
    began = time.perf_counter()
    work = Work()
    with memory_errors(), bars.steps(f"{order.model} {order.method}", len(sources)) as advance:
        for number, (name, read) in enumerate(sources, 1):
            try:
                found = list(read(order))
            except PictureError as error:
                if len(sources) == 1:
                    raise
                work.skipped.append({"picture": name, "reason": error.message})
                found = []
            for label, picture in found:
                path = out / _file(label)
                if order.beside:
                    _beside(networks, picture, order, path, work)
                else:
                    _one(network, picture, order, path, work)
            advance(number)
    if not work.files and work.skipped:
        raise PictureError("Not one of the pictures can be read.", work.skipped[0]["reason"])
    data: dict[str, Any] = {
        "model": order.model, "layer": order.layer, "method": order.method, "files": work.files,
        "seconds": round(time.perf_counter() - began, 3), "device": chosen, "pictures": work.pictures,
        "skipped": len(work.skipped), "broken": work.skipped[:_NAMED], "notes": list(dict.fromkeys(work.notes)),
    }  # fmt: skip
    if work.intercepted is not None:
        data["intercepted"] = work.intercepted
    return console.Result(data, _view(data))


Reader = Callable[[Order], Iterator[tuple[str, Picture]]]


def gather(paths: tuple[Path, ...]) -> Iterator[tuple[str, Reader]]:
    """Each picture or video that the paths name, with a name for its files and what reads it.

    Raises:
        PictureError: a folder or zip without pictures; a path that is not there.
    """
    from vizcore.look import collections, video

    for path in paths:
        if path.is_dir() or path.suffix.lower() == ".zip":
            found = collections.collect(path)
            for index, name in enumerate(found.names):
                label = name.rpartition(".")[0].replace("/", "-")
                yield name, lambda _order, found=found, index=index, label=label: iter([(label, found.read(index))])  # type: ignore[misc]
        elif path.suffix.lower() in video.SUFFIXES:
            yield (
                path.name,
                lambda order, path=path: (  # type: ignore[misc]
                    (f"{path.stem}-{number:06d}", frame) for number, frame in video.frames(path, order.frames)
                ),
            )
        else:
            yield path.name, lambda _order, path=path: iter([(path.stem, pictures.read(path))])  # type: ignore[misc]


def _check(order: Order) -> None:
    from vizcore.look.attribution import METHODS

    known = ("activations", "strip", "all", *METHODS)
    if order.method not in known:
        raise SpecError(f"There is no method {order.method[:40]!r}.", f"Use one of {', '.join(known)}.")
    modes = display.MAP_MODES if order.method == "activations" else display.RELEVANCE_MODES
    if order.mode and order.mode not in modes:
        raise SpecError(f"{order.method} cannot be shown as {order.mode[:40]!r}.", f"Use one of {', '.join(modes)}.")
    if order.reduce not in ("max", "mean"):
        raise SpecError(f"A filter cannot be reduced to {order.reduce[:40]!r}.", "Use max or mean.")
    if not 0 < order.focus <= 1:
        raise SpecError(f"--focus is {order.focus:g}, out of range.", "Use a share from 0.01 to 1.")
    if order.size is not None and order.size > 2048:
        raise SpecError(f"--size is {order.size}, out of range.", "Use at most 2048 px.")
    if order.neuron and not re.fullmatch(r"\d+,\d+", order.neuron.replace(" ", "")):
        raise SpecError(f"--neuron is {order.neuron[:40]!r}, which is no position.", "Write for example --neuron 3,4.")
    if len(order.beside) > 3:
        raise SpecError("There are more than three networks beside.", "Name up to three.")
    if order.check and (order.beside or order.method in ("activations", "strip")):
        raise SpecError("--check is for the methods that explain a unit of one network.", "Choose such a method.")
    if order.beside and order.method in ("all", "strip"):
        raise SpecError(f"{order.method} is for one network.", "Choose one method.")


def _with_layer(order: Order, network: Network) -> Order:
    """The order with the layer that is meant where none is named, after the layer and unit have been found to exist."""
    from vizcore.layers import check_channels_of, find_layer
    from vizcore.look.compare import at_depth

    if order.beside:
        at_depth(network, order.depth, order.size)
        return order
    layer = order.layer
    if order.method == "activations" and not layer:
        layer = network.card.showcase_layer or at_depth(network, "middle", order.size)
    if layer:
        found = find_layer(network, layer, order.size)
        if order.channel is not None:
            check_channels_of(found, [order.channel])
        if order.method == "activations" and found.height * found.width == 1 and found.kind not in ("linear", "relu"):
            raise LayerError(f"The layer {layer} has no spatial maps.", "Choose a layer in front of the pooling.")
    return replace(order, layer=layer)


def unit_of(order: Order, network: Network, picture: Picture) -> Unit:
    """The unit that is named, or the strongest of the layer (of the classes, without a layer)."""
    from vizcore.look.compare import strongest
    from vizcore.look.units import Reduce, Unit

    y, x = map(int, order.neuron.split(",")) if order.neuron else (None, None)
    channel = order.channel
    if channel is None:
        channel = strongest(network, picture, order.layer, order.size).channel
    return Unit(order.layer, channel, y, x, cast(Reduce, order.reduce))


def _one(network: Network, picture: Picture, order: Order, path: Path, work: Work) -> None:
    """What one network makes of one picture."""
    from vizcore.look import activations

    facts = {
        "model": order.model, "layer": order.layer, "method": order.method, "weights_hash": network.card.weights_hash,
    }  # fmt: skip
    entry: dict[str, Any] = {"picture": path.name, "classes": activations.classes_of(network, picture)}
    work.pictures.append(entry)
    if order.method == "strip":
        _save(work, path, "strip", sheets.strip(activations.strip(network, picture, order.size)), facts)
    elif order.method == "activations":
        looker = activations.Looker(network, order.layer, order.size, classes=False, precision="fp32")
        maps = looker.look(picture)
        entry["strongest"] = maps.order()[:16].tolist()
        sheet = sheets.activations(maps, cast(display.MapMode, order.mode or "gray"), order.shared)
        _save(work, path, f"{_file(order.layer)}-activations", sheet, facts)
    else:
        _explain(network, picture, order, path, work, entry, facts)


def _explain(
    network: Network, picture: Picture, order: Order, path: Path, work: Work, entry: dict[str, Any],
    facts: dict[str, Any],
) -> None:  # fmt: skip
    """Why a unit responds to a picture, by one method or all."""
    from vizcore.look.attribution import METHODS, attribute
    from vizcore.look.sanity import WARNING, cascade

    unit = unit_of(order, network, picture)
    entry["channel"] = unit.channel
    for method in METHODS if order.method == "all" else [order.method]:
        try:
            found = attribute(network, picture, unit, method, order.size)
        except LayerError as error:
            if order.method != "all":
                raise
            work.notes.append(f"{method}: {error.message}")
            continue
        entry["score"] = found.score
        entry.setdefault("facts", {})[method] = dict(found.facts)
        work.caught(found.intercepted)
        if found.note:
            work.notes.append(f"{method}: {found.note}")
        if order.check:
            points = [asdict(point) for point in cascade(network, picture, unit, method, order.size)]
            entry.setdefault("check", {})[method] = points
            work.notes += [f"{method}: {WARNING[method]}"] if method in WARNING else []
        sheet = sheets.attribution(found, cast(display.RelevanceMode, order.mode or "colour"), order.focus)
        name = f"{_file(order.layer or 'classes')}-{unit.channel:04d}-{method}"
        _save(work, path, name, sheet, {**facts, "method": method, "channel": unit.channel, "score": found.score})


def _beside(networks: list[Network], picture: Picture, order: Order, path: Path, work: Work) -> None:
    from vizcore.look.compare import side_by_side

    columns = side_by_side(networks, picture, order.method, order.depth, order.size)
    panes = [("picture", pictures.fit(picture, sheets.PANE))]
    entries = []
    for column in columns:
        entry: dict[str, Any] = {"model": column.model, "reason": column.reason}
        if column.unit is not None:
            entry |= {"layer": column.unit.layer, "channel": column.unit.channel}
        text = f"{column.model} {column.unit.layer} {column.unit.channel}" if column.unit else column.model
        if column.maps is not None:
            panes.append((text, sheets.activations(column.maps, cast(display.MapMode, order.mode or "gray"), most=64)))
        elif column.attribution is not None:
            entry["score"] = column.attribution.score
            work.caught(column.attribution.intercepted)
            mode = cast(display.RelevanceMode, order.mode or "colour")
            panes.append((text, display.relevance(column.attribution.values, mode)))
        else:
            work.notes.append(f"{column.model}: {column.reason}")
        entries.append(entry)
    work.pictures.append({"picture": path.name, "networks": entries})
    facts = {"method": order.method, "depth": order.depth, "networks": entries}
    _save(work, path, f"{order.depth}-{order.method}-side-by-side", sheets.beside(panes), facts)


def _save(work: Work, path: Path, name: str, sheet: Picture, facts: dict[str, Any]) -> None:
    target = path.with_name(f"{path.name}-{name}.png")
    if str(target) in work.files:  # two pictures of one name, from different folders
        target = path.with_name(f"{path.name}-{len(work.files)}-{name}.png")
    work.files.append(str(sheets.save(target, sheet, facts)))


def _file(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)[:120] or "_"


def _view(data: dict[str, Any]) -> RenderableType:
    table = console.table("picture", "classes", "unit", "score", numbers=("score",))
    for entry in data["pictures"]:
        best = ", ".join(f"{name} {share:.0%}" for name, share in entry.get("classes", [])[:3])
        table.add_row(*map(console.cell, (entry["picture"], best, entry.get("channel"), entry.get("score"))))
    curves: list[Any] = []
    for entry in data["pictures"]:
        for method, points in entry.get("check", {}).items():
            curve = ", ".join(f"{point['layer'] or 'trained'} {point['absolute']:.2f}" for point in points)
            curves.append(f"{console.cell(method)}, likeness while layers get random weights: {console.cell(curve)}")
    lines = [f"{len(data['files'])} files in {data['seconds']:.1f} s: {Path(data['files'][0]).parent}"]
    if "intercepted" in data:
        lines.append(f"the rule acted on {data['intercepted']} rectifiers")
    if data["skipped"]:
        lines.append(f"[yellow]skipped[/] {data['skipped']}: {console.cell(data['broken'][0]['picture'])} and so on")
    lines += [f"[yellow]note[/] {console.cell(note)}" for note in data["notes"]]
    return Group(table, "", *curves, *lines)
