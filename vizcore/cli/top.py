"""``vizcore top``: the nine most exciting patches of each filter of a layer, over a folder or zip of pictures."""

from __future__ import annotations

import json as json_module
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from vizcore.cli import bars, console
from vizcore.cli.render import interruptible, memory_errors, open_network, writable
from vizcore.errors import SpecError
from vizcore.export import write_atomically
from vizcore.look import sheets
from vizcore.spec import parse_channels

if TYPE_CHECKING:
    from vizcore.look.tally import Tally


@dataclass(frozen=True)
class Order:
    """What is to be found, as it stands on the command line."""

    model: str
    arch: str | None
    data: Path
    layer: str
    channels: str
    only: str
    size: int | None
    deconv: bool
    fresh: bool


def top(order: Order, out: Path, device: str) -> console.Result:
    """Carry out ``order``; Ctrl-C ends it after the current batch, and the next call goes on from there."""
    from vizcore.engine import devices
    from vizcore.layers import check_channels_of
    from vizcore.look.collections import collect
    from vizcore.look.patches import patches
    from vizcore.look.tally import Tally

    chosen = devices.choose(device)
    collection = collect(order.data, order.only)
    writable(out)
    devices.set_threads(False)
    if order.size is not None and order.size > 2048:
        raise SpecError(f"--size is {order.size}, out of range.", "Use at most 2048 px.")
    network = open_network(order.model, order.arch).to(chosen)
    began = time.perf_counter()
    tally = Tally(network, collection, order.layer, order.size)
    wanted = wanted_channels(order.channels, tally.layer.channels)
    check_channels_of(tally.layer, wanted)
    if order.fresh:
        tally.forget()
    resumed = tally.record.done
    title = f"{order.model} {order.layer}"
    with memory_errors(), interruptible() as interrupted, bars.steps(title, len(collection)) as advance:
        advance(resumed)
        for progress in tally:
            advance(progress.done)
            if interrupted():
                break
    counted = time.perf_counter() - began
    files, entries, intercepted = [], [], None
    name = re.sub(r"[^\w.-]", "_", order.layer)
    with memory_errors():
        for channel in wanted:
            found = patches(tally, channel, "deconv" if order.deconv else None)
            entry = facts_of(tally, channel)
            entry["patches"] = [
                {key: getattr(patch, key) for key in ("name", "label", "value", "reproduced", "y", "x", "box")}
                for patch in found
            ]
            entries.append(entry)
            if found:
                intercepted = found[0].intercepted if intercepted is None else intercepted
                facts = {"model": order.model, "layer": order.layer, "channel": channel, "method": "top"}
                files.append(str(sheets.save(out / f"{name}-{channel:04d}-top.png", sheets.patches(found), facts)))
    record = tally.record
    data: dict[str, Any] = {
        "model": order.model, "layer": order.layer, "method": "top", "files": files,
        "seconds": round(time.perf_counter() - began, 3), "counting_seconds": round(counted, 3), "device": chosen,
        "state": "done" if tally.finished else "interrupted", "pictures": len(collection), "done": record.done,
        "resumed_from": resumed, "skipped": record.skipped, "broken": record.broken,
        "dead": int(record.dead.sum()), "sparsity": float(record.sparsity.mean()), "filters": entries,
    }  # fmt: skip
    if intercepted is not None:
        data["intercepted"] = intercepted
    report = out / f"{name}-top.json"
    write_atomically(report, json_module.dumps(console.plain({**data, "channels": all_facts(tally)})).encode())
    data["report"] = str(report)
    return console.Result(data, _view(data), 0 if tally.finished else console.INTERRUPTED)


def wanted_channels(text: str, count: int) -> list[int]:
    """The channels of ``--channels``: a list, or all; ranges end where the layer does."""
    if text.strip().lower() == "all":
        return list(range(count))
    if text == "0-15":
        return list(range(min(16, count)))
    return list(parse_channels(text))


def facts_of(tally: Tally, channel: int) -> dict[str, Any]:
    """What is known of a channel, without its patches."""
    record = tally.record
    index, best = record.selectivity()
    return {
        "channel": channel,
        "dead": bool(record.dead[channel]),
        "sparsity": float(record.sparsity[channel]),
        "mean": float(record.sums[channel] / max(record.total, 1)),
        "highest": float(record.values[channel, 0]),
        "selectivity": float(index[channel]),
        "class": tally.classes[best[channel]] if best[channel] >= 0 else "",
    }


def all_facts(tally: Tally) -> list[dict[str, Any]]:
    """What is known of every channel: with histogram and the names of its pictures."""
    record, names = tally.record, tally.collection.names
    return [
        {
            **facts_of(tally, channel),
            "histogram": record.histogram[channel],
            "range": [record.low, record.high],
            "top": [
                {"name": names[item], "value": value, "y": y, "x": x}
                for item, value, y, x in zip(
                    record.items[channel].tolist(), record.values[channel].tolist(), record.ys[channel].tolist(),
                    record.xs[channel].tolist(), strict=True,
                )
                if item >= 0
            ],
        }
        for channel in range(len(record.values))
    ]  # fmt: skip


def _view(data: dict[str, Any]) -> RenderableType:
    columns = ("filter", "highest", "mean", "off", "selectivity", "class")
    table = console.table(*columns, numbers=columns[:5])
    for item in data["filters"]:
        values = (item["channel"], item["highest"], item["mean"], f"{item['sparsity']:.0%}", item["selectivity"])
        table.add_row(*map(console.cell, values), console.cell(item["class"]))
    lines = [
        f"{data['done']} of {data['pictures']} pictures in {data['counting_seconds']:.1f} s"
        + (f" (went on from {data['resumed_from']})" if data["resumed_from"] else "")
        + f", {data['dead']} dead filters, {data['sparsity']:.0%} of all activations off",
        f"{len(data['files'])} sheets and {console.cell(data['report'])}",
    ]
    if data["skipped"]:
        lines.append(f"[yellow]skipped[/] {data['skipped']} that cannot be read")
    if data["state"] == "interrupted":
        lines.append("[yellow]interrupted[/]: the same command goes on from here")
    return Group(table, "", *lines)
