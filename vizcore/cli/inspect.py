"""``vizcore inspect``: what can be seen to be wrong with a network's filters."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from vizcore.cli import console
from vizcore.cli.evaluate import network_of, pictures_of
from vizcore.cli.render import memory_errors

_SHOWN = 12  # filters of a finding that are listed for people


@dataclass(frozen=True)
class Order:
    """What is to be inspected, as it stands on the command line."""

    model: str
    arch: str | None
    dataset: str
    data: Path | None
    part: str
    most: int


def inspect(order: Order, device: str) -> console.Result:
    """Carry out ``order``."""
    from vizcore.engine import devices
    from vizcore.look import report

    chosen = devices.choose(device)
    devices.set_threads(False)
    network = network_of(order.model, order.arch)
    images = None
    if order.dataset:
        _, part = pictures_of(network, order.dataset, order.data, order.part)
        step = max(1, len(part) // order.most)
        images = part.images[::step][: order.most]
    began = time.perf_counter()
    with memory_errors():
        found = report.inspect(network.to(chosen), images)
    data: dict[str, Any] = {
        "model": order.model, "layers": found.layers, "filters": found.filters, "pictures": found.pictures,
        "made_up": found.made_up, "findings": [finding.to_dict() for finding in found.findings],
        "seconds": round(time.perf_counter() - began, 3), "device": chosen,
    }  # fmt: skip
    return console.Result(data, _view(data))


def _view(data: dict[str, Any]) -> RenderableType:
    lines = []
    for item in data["findings"]:
        lines.append(f"[bold]{item['kind']}[/] in {console.cell(item['layer'])}: {console.cell(item['text'])}")
        named = item["pairs"] or item["filters"]
        if named:
            some = ", ".join("/".join(map(str, one)) if isinstance(one, list) else str(one) for one in named[:_SHOWN])
            lines.append(f"    {some}" + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""))
    what = "made-up" if data["made_up"] else "given"
    lines.append(
        f"{len(data['findings']) or 'no'} findings in {data['layers']} layers with {data['filters']} filters, "
        f"with {data['pictures']} {what} pictures"
    )
    return "\n".join(lines)
