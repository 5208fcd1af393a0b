"""``vizcore runs``: list, show, replay, export, import, delete, restore and clean up what is kept on disk."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType

from vizcore.cli import bars, console
from vizcore.cli.arguments import Device, Json
from vizcore.cli.console import Result
from vizcore.cli.exporting import runs_export
from vizcore.cli.forking import runs_fork
from vizcore.cli.stored import Trust, finish, opened
from vizcore.spec import format_channels, to_dict

Run = Annotated[str, typer.Argument(help="The run's id, or a run file.", show_default=False)]
runs = typer.Typer(help="The runs that are kept on disk.")


@runs.command("list")
def runs_list(
    search: Annotated[str, typer.Option(metavar="TEXT", help="Only the runs with all of these words in them.")] = "",
    sort: Annotated[
        str, typer.Option(metavar="COLUMN", help="created, name, model, layer, steps, state or bytes.")
    ] = "created",
    json: Json = False,
) -> Result:
    """List the runs in the library, the newest first, and those whose file is damaged."""
    from vizcore.runs import Library

    keys = ("id", "name", "model", "layer", "channels", "steps", "state", "bytes", "parent", "created", "sweep")
    library = Library()
    found = library.search(search, sort, descending=sort in ("created", "steps", "bytes"))
    listing = library.scan()
    entries = [{key: info.to_dict()[key] for key in keys} for info in found]
    columns = ("run", "name", "model", "layer", "filters", "steps", "state", "size", "fork of")
    view = console.table(*columns, numbers=("steps", "size"))
    for e in entries:
        filters, size = format_channels(e["channels"]), console.size(e["bytes"])
        parent = f"{e['parent'][0]} at {e['parent'][1]}" if e["parent"] else ""
        row = (e["id"], e["name"], e["model"], e["layer"], filters, e["steps"], e["state"], size, parent)
        view.add_row(*map(console.cell, row))
    for run, reason in listing.damaged.items():
        view.add_row(run, console.cell(reason), "", "", "", "", "damaged", "", "")
    damaged = [{"id": run, "reason": reason} for run, reason in listing.damaged.items()]
    nothing = (
        "No run has all of these words." if search else "No run is kept yet: the page and vizcore render keep theirs."
    )
    return Result({"runs": entries, "damaged": damaged}, view if entries or damaged else nothing)


@runs.command("show")
def runs_show(
    run: Annotated[
        str, typer.Argument(help="The run's id, a run file, or a PNG with its recipe inside.", show_default=False)
    ],
    json: Json = False,
) -> Result:
    """Show one run: its spec, how far it came, its scores, and where knobs were turned; or the run of a picture."""
    if Path(run).suffix.lower() == ".png":
        return _show_picture(Path(run))
    from vizcore.history import kept_ranges

    with opened(run) as reader:
        steps, scores, _ = reader.scores()
        spans = zip(*(scores[0], scores[-1], scores.max(0)), strict=True) if len(steps) else repeat((None,) * 3)
        filters = [
            {"channel": channel, "first": first, "last": last, "best": best, "status": status}
            for channel, (first, last, best), status in zip(
                reader.spec.channels, spans, reader.statuses(), strict=False
            )
        ]
        facts = reader.meta
        data = {
            "id": reader.path.stem,
            "state": reader.state,
            "step": steps[-1] if len(steps) else None,
            "kept": kept_ranges(reader.steps()),
            "spec": to_dict(reader.spec),
            "knobs": [{"step": step, "name": name, "value": value} for step, name, value in reader.knobs()],
            "filters": filters,
            "pins": [pin.to_dict() for pin in reader.pins()],
            **{key: facts.get(key) for key in ("parent", "created", "weights_hash", "environment", "name", "note")},
        }
    data = console.plain(data)
    return Result(data, _run_view(data))


def _show_picture(path: Path) -> Result:
    from vizcore.export import read_recipe
    from vizcore.runs import Library

    recipe = read_recipe(path)
    run = Library().find(recipe)
    spec = to_dict(recipe.spec)
    data = {
        "run": run, "step": recipe.step, "channel": recipe.channel, "spec": spec,
        "knobs": [{"step": step, "name": name, "value": value} for step, name, value in recipe.knobs],
        "vizcore": recipe.version, "weights_hash": recipe.weights_hash,
    }  # fmt: skip
    where = f"It is of run {run}." if run else "Its run is not in this library; vizcore runs replay repeats it."
    facts = console.table("", "")
    facts.show_header = False
    rows = {"step": recipe.step, "filter": recipe.channel} | {
        key: spec[key] for key in ("model", "layer", "objective", "preset", "size", "steps", "seed")
    }
    for key, value in rows.items():
        facts.add_row(f"[dim]{key}[/]", console.cell(value))
    return Result(console.plain(data), Group(facts, "", where))


@runs.command("replay")
def runs_replay(
    run: Annotated[
        str, typer.Argument(help="The run's id, a run file, or a PNG with its recipe inside.", show_default=False)
    ],
    device: Device = "auto",
    trust: Trust = False,
    json: Json = False,
) -> Result:
    """Compute a run again and say whether it is the same, and if not, from which step on and what is not as it was.

    A picture is repeated from its recipe as a new run in the library, up to its step.
    """
    from vizcore.cli.repeat import open_stored, repeat_picture

    if Path(run).suffix.lower() == ".png":
        return repeat_picture(Path(run), device, trust)
    from vizcore import replay
    from vizcore.cli.render import memory_errors
    from vizcore.engine import devices

    chosen = devices.choose(device)
    with opened(run) as reader, memory_errors():
        devices.set_threads(reader.meta.get("environment", {}).get("exact") is True)
        network = open_stored(reader.spec.model, reader.spec.arch, trust)
        found = finish(f"replaying {reader.path.stem}", replay.verify(reader, network, chosen))
        name = reader.path.stem
    data = {
        "run": name, "identical": found.identical, "first_difference": found.first_difference, "steps": found.steps,
        "pictures": found.pictures, "score_difference": found.score_difference,
        "picture_difference": found.picture_difference, "environment": list(found.environment),
    }  # fmt: skip
    lines = [f"{found.steps} steps and {found.pictures} pictures are the same, bit for bit."]
    if not found.identical:
        lines = [
            f"Step {found.first_difference} is the first that differs.",
            f"Largest: {found.score_difference:.2g} of a score, {found.picture_difference} of 255 of a pixel.",
        ]
    lines += [f"{e['name']} was {e['recorded']}, here it is {e['here']}." for e in found.environment]
    return Result(data, "\n".join(map(console.cell, lines)))


runs.command("fork")(runs_fork)
runs.command("export")(runs_export)


@runs.command("import")
def runs_import(
    file: Annotated[list[Path], typer.Argument(help="Archives of vizcore runs export, or run files.")],
    json: Json = False,
) -> Result:
    """Bring runs into the library; none that is there is ever overwritten."""
    from vizcore import archive
    from vizcore.runs import Library

    library, told = Library(), []
    for path in file:
        with bars.download(f"importing {path.name}") as progress:
            told += archive.load(path, library, progress)
    lines = [
        f"{item.was}: " + ("there already" if not item.new else "new" if item.id == item.was else f"new, as {item.id}")
        for item in told
    ]
    return Result({"runs": [item.to_dict() for item in told]}, "\n".join(lines))


@runs.command("delete")
def runs_delete(
    run: Annotated[list[str], typer.Argument(help="Ids of runs.")],
    forks: Annotated[bool, typer.Option("--forks", help="With the runs that were forked from them.")] = False,
    json: Json = False,
) -> Result:
    """Move runs to the trash; vizcore runs restore takes them back, vizcore runs gc removes them for good."""
    from vizcore.runs import Library

    library = Library()
    gone = list(dict.fromkeys(one for name in run for one in library.delete(name, forks=forks)))
    return Result({"deleted": gone}, "\n".join(f"{name} is in the trash" for name in gone))


@runs.command("restore")
def runs_restore(run: Annotated[list[str], typer.Argument(help="Ids of deleted runs.")], json: Json = False) -> Result:
    """Take deleted runs back out of the trash, with the runs that they were forked from."""
    from vizcore.runs import Library

    library = Library()
    back = [one for name in run for one in library.restore(name)]
    return Result({"restored": back}, "\n".join(f"{name} is back" for name in back))


@runs.command("gc")
def runs_gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=0, metavar="MIB", help="What all runs may take; VIZCORE_LIBRARY_MIB if not given.")
    ] = None,
    json: Json = False,
) -> Result:
    """Empty the trash, and remove the oldest runs while the library is over its limit.

    Pinned runs, running ones and those with forks that stay are never removed.
    """
    from vizcore.runs import Library

    library = Library()
    plan = library.cleaning(None if limit is None else limit * 2**20)
    if not dry_run:
        library.clean(plan)
    data = {
        "dry_run": dry_run, "freed": plan.freed, "bytes": plan.bytes, "limit": plan.limit,
        "trash": [{"id": run, "bytes": size} for run, size in plan.trash.items()],
        "runs": [{"id": info.id, "bytes": info.bytes, "created": info.created} for info in plan.runs],
    }  # fmt: skip
    lines = [f"{run} from the trash, {console.size(size)}" for run, size in plan.trash.items()]
    lines += [f"{info.id}, {console.size(info.bytes)}, {info.model} {info.layer}" for info in plan.runs]
    over = max(plan.bytes - sum(info.bytes for info in plan.runs) - plan.limit, 0)
    lines.append(f"{console.size(plan.freed)} {'would be' if dry_run else 'are'} freed.")
    if over:
        lines.append(
            f"The library is {console.size(over)} over its limit with runs that are pinned, running or forked."
        )
    return Result(data, "\n".join(map(console.cell, lines)))


def _run_view(data: dict[str, Any]) -> RenderableType:
    spec = data["spec"]
    kept = ", ".join(
        f"{a}-{b}" + (f" each {gap}" if gap > 1 else "") if a != b else f"{a}" for a, b, gap in data["kept"]
    )
    facts = console.table("", "")
    facts.show_header = False
    rows = {"run": data["id"], "state": data["state"], "at step": data["step"], "steps with pictures": kept}
    rows |= {key: data[key] for key in ("name", "note") if data[key]}
    if data["parent"]:
        rows["fork of"] = f"{data['parent'][0]} at step {data['parent'][1]}"
    rows |= {key: spec[key] for key in ("model", "layer", "objective", "preset", "size", "steps", "seed")}
    for key, value in rows.items():
        facts.add_row(f"[dim]{key}[/]", console.cell(value))
    columns = ("filter", "first score", "last score", "best", "status")
    scores = console.table(*columns, numbers=columns[:4])
    for item in data["filters"]:
        scores.add_row(*map(console.cell, item.values()))
    turns = [f"  {turn['name']} = {turn['value']} from step {turn['step']}" for turn in data["knobs"]]
    pins = [
        f"  step {pin['step']}, {'all filters' if pin['channel'] is None else 'filter ' + str(pin['channel'])}"
        f"{': ' + console.cell(pin['note']) if pin['note'] else ''}"
        for pin in data["pins"]
    ]
    return Group(
        facts, "", scores, *(["", "knobs turned", *turns] if turns else []), *(["", "pins", *pins] if pins else [])
    )
