"""``vizcore runs fork``: leave a run of the library at a step, with other knobs, seed or settings."""

from __future__ import annotations

from typing import Annotated

import typer

from vizcore.cli import console, flags
from vizcore.cli.arguments import Device, Json
from vizcore.cli.console import Result
from vizcore.cli.stored import Trust, finish
from vizcore.spec import format_channels, parse_channels


def runs_fork(
    run: Annotated[str, typer.Argument(help="The run's id.", show_default=False)],
    step: Annotated[int, typer.Option(metavar="N", help="The step to leave at.", show_default=False)],
    channels: Annotated[
        str | None, typer.Option(metavar="LIST", help="The filters that come along; all if not given.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A knob from that step on, or optimizer, policy, precision or seed."
        ),
    ] = None,
    objective: Annotated[str | None, typer.Option(metavar="TEXT", help="What is maximised from that step on.")] = None,
    device: Device = "auto",
    trust: Trust = False,
    json: Json = False,
) -> Result:
    """Leave a run at a step, as a new run in the library that goes on from there to its end.

    What says what the parent's picture means (network, layer, size, parameterization, colours) stays as it is.
    """
    from vizcore import lineage, replay
    from vizcore.ascent import ascend
    from vizcore.cli.render import ascend_all, memory_errors, recording
    from vizcore.cli.repeat import open_stored
    from vizcore.engine import devices
    from vizcore.memory import keep_freed
    from vizcore.runs import Library
    from vizcore.spec import Knobs

    knobs, settings = lineage.split(flags.chosen(set_ or [], {"objective": objective}))
    rows = parse_channels(channels) if channels else None
    keep_freed()
    with Library().open(run) as reader, memory_errors():
        chosen, exact = devices.choose(device), reader.meta.get("environment", {}).get("exact") is True
        devices.set_threads(exact)
        network = open_stored(reader.spec.model, reader.spec.arch, trust)
        leaving = replay.branch(reader, network, step, rows, knobs, device=chosen, settings=settings)
        root = finish(f"going to step {step}", leaving)
        spec, log = root.spec, Knobs(root.spec, root.log)
        ascent = ascend(spec, network, log, device=chosen, exact=exact, state=root.state)
        facts = {**devices.environment(chosen, exact), "precision": ascent.precision}
        with recording(spec, network, facts, root) as (new, writer):
            for turn in root.log:
                writer.knob(*turn)
            result = ascend_all(ascent, writer)
    state = "interrupted" if result.interrupted else "done"
    data = {
        "run": new, "parent": list(root.parent), "channels": list(spec.channels), "step": result.step, "state": state,
        "seconds": round(result.seconds, 3), "device": chosen, "precision": ascent.precision,
    }  # fmt: skip
    line = f"{new}: filters {format_channels(spec.channels)} of {root.parent[0]} from step {step} to {result.step}"
    return Result(data, console.cell(line), console.INTERRUPTED if result.interrupted else 0)
