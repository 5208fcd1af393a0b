"""``vizcore atlas``: every filter of chosen layers, into an atlas that grows with each call."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from vizcore.cli import console
from vizcore.errors import SpecError

if TYPE_CHECKING:
    from vizcore.atlas.engines import Engine
    from vizcore.atlas.evidence import Evidence
    from vizcore.atlas.job import Notify
    from vizcore.atlas.plan import Wanted
    from vizcore.atlas.shard import Work

LOCAL = "local"  # the scheduler of a Dask cluster of our own
SHOWN = 5  # failures that are told one by one


@dataclass(frozen=True)
class Order:
    """What the atlas is to have, as it stands on the command line."""

    model: str
    layers: str
    channels: str | None
    preset: str
    arch: str | None
    values: dict[str, Any]
    exact: bool = False
    beside: str = ""  # parts of the evidence
    data: Path | None = None
    only: str = ""


@dataclass(frozen=True)
class Setting:
    """Where and by whom it is rendered."""

    out: str
    device: str = "auto"
    workers: int | None = None
    scheduler: str | None = None
    seconds: float | None = None  # of a shard
    json: bool = False


def make(order: Order, setting: Setting) -> console.Result:
    """Carry out ``order``; what can be refused is refused before the first step."""
    from vizcore.atlas import evidence, job, plan
    from vizcore.atlas import head as heads
    from vizcore.atlas.shard import WIDTH, Work
    from vizcore.atlas.store import open_store
    from vizcore.cli.render import open_network
    from vizcore.engine import devices
    from vizcore.spec import build
    from vizcore.zoo.card import default_size

    if setting.workers is not None and setting.scheduler not in (None, LOCAL):
        raise SpecError("The scheduler has its own workers.", "Leave out --workers, or use --scheduler local.")
    ranges = None if order.channels in (None, "all") else plan.parse_channels(str(order.channels))
    given = _evidence(order)
    device = devices.choose(setting.device)
    store = open_store(setting.out)
    network = open_network(order.model, order.arch)
    values = {"size": default_size(network.card, device), **order.values}
    spec = build(order.model, "", (0,), order.preset, order.arch, **values)
    head = heads.Head(
        order.model, order.arch, network.card.weights_hash, order.preset, heads.settings_of(spec), order.exact
    )  # fmt: skip
    wanted = plan.wanted(plan.choose_layers(network, order.layers, spec.size), ranges)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = setting.workers or 1
    if setting.workers is None and setting.scheduler in (None, LOCAL):
        workers = plan.team(network, spec.size, device, cores, 1 if order.exact else WIDTH)
    work = Work(head, store.place, device, max(1, cores // workers), given)
    job.check(store, head)
    with store.prepare():
        missing = job.prepare(store, head, wanted)
        lacking = job.prepare_parts(store, head, given, wanted)
        task = job.Job(store, wanted, parts=given.parts)
        outcome = task.progress
        if missing or lacking:
            engine = _engine(work, setting, workers)
            manifests = {one.manifest.layer: one.manifest for one in wanted}
            with contextlib.ExitStack() as stack:
                stack.callback(engine.close)
                shards, busy = [], engine.workers
                if missing:
                    cost = plan.costs(network, work, [manifests[layer] for layer, _ in missing])
                    if setting.workers is None and setting.scheduler is None:
                        busy = plan.worth(missing, cost, engine.workers)
                    shards = plan.cut(missing, cost, busy, work.width, setting.seconds)
                if lacking:
                    there = store.names(evidence.SURVEYS)
                    surveyed = {
                        layer for layer in manifests if evidence.survey_of(head, layer, given.fingerprint) in there
                    }
                    costs = plan.part_costs(network, work, [manifests[layer] for layer, _ in lacking])
                    shards += plan.cut_parts(lacking, costs, engine.workers, surveyed, setting.seconds)
                told = {"event": "plan", "channels": sum(len(c) for _, c in missing), "shards": len(shards)}
                told["parts"] = sum(len(channels) for _, left in lacking for channels in left.values())
                seconds = sum(shard.seconds for shard in shards) / busy
                told |= {"workers": busy, "seconds": round(seconds, 1), "dashboard": engine.link or None}
                show = stack.enter_context(
                    _events(told) if setting.json else _bars(told, wanted, outcome.parts)
                )  # fmt: skip
                stack.enter_context(_interruptible(task))
                task.notify = show
                outcome = task.run(engine, shards)
    data = {
        "total": outcome.total,
        "done": outcome.done,
        "failed": outcome.failed,
        "skipped": outcome.skipped,
        "seconds": round(outcome.seconds, 3),
        "out": setting.out,
        "state": "interrupted" if outcome.interrupted else "done",
        "model": order.model,
        "layers": [_line(one) for one in wanted],
        "parts": outcome.parts,
        "errors": [error for one in wanted for error in _errors(one)],
    }
    return console.Result(data, view(data), console.INTERRUPTED if outcome.interrupted else 0)


def _engine(work: Work, setting: Setting, workers: int) -> Engine:
    if setting.scheduler is None:
        from vizcore.atlas.local import Local

        return Local(work, workers)
    from vizcore.atlas.cluster import Cluster

    return Cluster(work, setting.scheduler, workers)


def _evidence(order: Order) -> Evidence:
    """What is asked for beside the tiles, with its pictures listed."""
    from vizcore.atlas import evidence
    from vizcore.look.collections import collect

    parts = evidence.parse(order.beside)
    seen = [part for part in parts if part in evidence.FROM_PICTURES]
    if not seen:
        if order.data is not None:
            raise SpecError("Nothing is made from the pictures of --data.", f"Add --with {evidence.PARTS[0]}.")
        return evidence.Evidence(parts)
    if order.data is None:
        raise SpecError(f"{seen[0].capitalize()} need real pictures.", "Name a folder or a zip of them with --data.")
    collection = collect(order.data, order.only)
    place = str(order.data.expanduser().absolute())
    return evidence.Evidence(parts, place, order.only, collection.fingerprint, len(collection))


def _errors(one: Wanted) -> Iterator[dict[str, Any]]:
    """What was given up of a layer: tiles, then parts of the evidence."""
    units = {channel: one.manifest.units[channel] for channel in one.channels if channel in one.manifest.units}
    for channel, unit in units.items():
        if "error" in unit:
            yield {"layer": one.manifest.layer, "channel": channel, **unit["error"]}
    for channel, unit in units.items():
        for part, error in unit.get("failed", {}).items():
            yield {"layer": one.manifest.layer, "channel": channel, "part": part, **error}


def _line(one: Wanted) -> dict[str, Any]:
    done = set(one.manifest.done)
    times = [unit["seconds"] for unit in one.manifest.units.values() if unit.get("seconds") is not None]
    return {
        "layer": one.manifest.layer,
        "channels": len(one.channels),
        "done": sum(channel in done for channel in one.channels),
        "seconds_per_channel": round(sum(times) / len(times), 4) if times else None,
    }


def view(data: dict[str, Any]) -> RenderableType:
    """The result for people."""
    there = data["done"] + data["skipped"]
    lines = [f"{there:,} of {data['total']:,} filters are in the atlas {escape(data['out'])}"]
    if data["done"]:
        rate = data["done"] / max(data["seconds"], 1e-9)
        lines.append(f"{data['done']:,} rendered in {data['seconds']:.1f} s ({rate:.2f} filters/s)")
    for part, count in data["parts"].items():
        lines.append(f"{part}: {count['done'] + count['skipped']:,} of {count['total']:,}")
    for one in data["errors"][:SHOWN]:
        what = f"{escape(one['layer'])} {one['channel']} {one.get('part', '')}".rstrip()
        lines.append(f"[yellow]failed[/] {what}: {escape(one['message'])}")
    if len(data["errors"]) > SHOWN:
        lines.append(f"and {len(data['errors']) - SHOWN} more")
    if data["state"] == "interrupted":
        lines.append("[yellow]interrupted[/]: the same command goes on from here")
    return Group(*(Text.from_markup(line, overflow="fold") for line in lines))


class _Rate(TextColumn):
    """Filters per second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.2f}/s" if speed else "")


@contextlib.contextmanager
def _bars(told: dict[str, Any], wanted: list[Wanted], parts: dict[str, dict[str, int]]) -> Iterator[Notify]:
    """A bar for each layer, one for all, and one for each part of the evidence, on standard error."""
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), _Rate(),
        TimeRemainingColumn(),
    )  # fmt: skip
    people = console.people()
    beside = f" and {told['parts']} parts beside them" if told["parts"] else ""
    text = f"{told['channels']} filters{beside} in {told['shards']} shards, about {told['seconds']:.0f} s"
    people.print(text + (f"; {told['dashboard']}" if told["dashboard"] else ""), soft_wrap=True)
    with Progress(*columns, console=people, speed_estimate_period=120) as bar:
        rows = {}
        for one in wanted:
            done = len(set(one.manifest.done) & set(one.channels))
            rows[one.manifest.layer] = bar.add_task(one.manifest.layer, total=len(one.channels), completed=done)
        whole = bar.add_task("all", total=sum(len(one.channels) for one in wanted))
        bar.update(whole, completed=sum(int(bar.tasks[row].completed) for row in rows.values()))

        for part, count in parts.items():
            rows[f"+{part}"] = bar.add_task(part, total=count["total"], completed=count["skipped"])

        def notify(kind: str, facts: dict[str, Any]) -> None:
            if "part" in facts:
                bar.advance(rows[f"+{facts['part']}"])
            elif kind in ("tile", "failed"):
                bar.advance(rows[facts["layer"]])
                bar.advance(whole)

        yield notify


@contextlib.contextmanager
def _events(told: dict[str, Any]) -> Iterator[Notify]:
    """One JSON object a line on standard error, for machines."""
    began = time.perf_counter()

    def write(facts: dict[str, Any]) -> None:
        sys.stderr.write(json.dumps(console.plain(facts)) + "\n")
        sys.stderr.flush()

    def notify(kind: str, facts: dict[str, Any]) -> None:
        write({"event": kind, "at": round(time.perf_counter() - began, 3), **facts})

    write(told)
    yield notify


@contextlib.contextmanager
def _interruptible(task: Any) -> Iterator[None]:
    """Ctrl-C, and SIGTERM, end the job after what is finished; pressed again, it interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: object) -> None:
        task.stop = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous: dict[int, Callable[..., Any] | int | None] = {
        number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def default_out(model: str) -> Path:
    """Where an atlas goes unless told: among those that the page finds by itself."""
    import re

    from vizcore.runs import Library

    return Library().home / "atlases" / re.sub(r"[^\w.-]", "_", Path(model).name)


def export(source: str, out: Path) -> console.Result:
    """Write the static site of an atlas."""
    from vizcore.atlas import site
    from vizcore.atlas.store import open_store
    from vizcore.cli import bars

    with bars.counted("pictures") as progress:
        counts = site.export(open_store(source), out, progress)
    data = {**counts, "out": str(out), "index": str(out / "index.html")}
    text = f"{counts['filters']:,} filters of {counts['layers']} layers: open {data['index']}"
    return console.Result(data, Text(text, overflow="fold"))
