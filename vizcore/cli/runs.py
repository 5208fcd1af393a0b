"""``vizcore runs``: list, show, replay, export, import, delete, restore and clean up what is kept on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Group, RenderableType

from vizcore.cli import bars, console
from vizcore.cli.arguments import Device, Json
from vizcore.cli.console import Result
from vizcore.errors import ExportError, HistoryError, SpecError
from vizcore.spec import format_channels, parse_channels, to_dict

if TYPE_CHECKING:
    from vizcore.history import RunReader

Run = Annotated[str, typer.Argument(help="The run's id, or a run file.", show_default=False)]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run the function package.module:factory that the run or recipe names.")
]
T = TypeVar("T")

runs = typer.Typer(help="The runs that are kept on disk.")

PICTURES, FILMS, TABLES, ARCHIVES = (".png",), (".gif", ".webp", ".mp4", ".webm"), (".csv", ".parquet"), (".zip",)


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
    return Result({"runs": entries, "damaged": damaged}, view)


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


@runs.command("export")
def runs_export(
    run: Annotated[list[str], typer.Argument(help="Ids of runs, or run files; several go into one archive.")],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="The ending says what: .zip (the runs themselves), .png, .gif, .webp, .mp4, .webm, .csv, .parquet.",
            show_default=False,
        ),
    ],
    steps: Annotated[
        str | None, typer.Option(metavar="RANGE", help='"0-256" for a film, "64" for a picture; all or the last.')
    ] = None,
    channels: Annotated[
        str | None, typer.Option(metavar="LIST", help="Filters; all if not given, as a contact sheet.")
    ] = None,
    fps: Annotated[float, typer.Option(metavar="N", help="Frames of a film per second, 1 to 30.")] = 15.0,
    loop: Annotated[bool, typer.Option("--loop/--once", help="Whether a film begins again.")] = True,
    size: Annotated[int | None, typer.Option(metavar="PX", help="Side of a picture in a film.")] = None,
    fill: Annotated[bool, typer.Option("--fill", help="Recompute the steps that were thinned out.")] = False,
    trust: Trust = False,
    json: Json = False,
) -> Result:
    """Write a run as a picture with its recipe, a contact sheet, a film, a table of its curves, or an archive."""
    form = out.suffix.lower()
    if form in ARCHIVES:
        return _archive(run, out)
    if len(run) != 1:
        raise SpecError("Only an archive holds several runs.", "Use an --out that ends in .zip.")
    if form not in PICTURES + FILMS + TABLES:
        known = ", ".join(PICTURES + FILMS + TABLES + ARCHIVES)
        raise ExportError(f"Nothing is exported as {form[:20]!r}.", f"Use one of {known}.")
    with opened(run[0]) as reader:
        if form in TABLES:
            from vizcore import curves

            return _written(out, {"rows": curves.save(out, reader)})
        first, last = _range(steps, reader, single=form in PICTURES)
        if fill:
            _fill(reader, first, last, trust)
        wanted = parse_channels(channels) if channels else ()
        if form in PICTURES:
            return _picture(reader, last, wanted, out)
        from vizcore import animation

        film = animation.Film(range(first, last + 1), wanted, fps, loop, size)
        with bars.steps(f"writing {out.name}", last - first + 1) as advance:
            count = animation.save(out, reader, film, lambda done, total: advance(done))
    return _written(out, {"frames": count})


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


# What they share -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(run: str) -> Iterator[RunReader]:
    """A reader of a run in the library, or of a run file."""
    from vizcore.history import RunReader
    from vizcore.history.schema import SUFFIX
    from vizcore.runs import Library

    path = Path(run)
    if path.suffix != SUFFIX and not path.is_file():
        path = Library().path(run)
    with RunReader(path) as reader:
        yield reader


def finish(title: str, work: Generator[tuple[int, int], None, T]) -> T:
    """The result of work that tells how far it is, with a bar."""
    with contextlib.closing(work):
        try:
            done, total = next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        with bars.steps(title, total) as advance:
            while True:
                advance(done)
                try:
                    done, total = next(work)
                except StopIteration as end:
                    result = end.value
                    return result


def _range(text: str | None, reader: RunReader, single: bool) -> tuple[int, int]:
    """First and last step of ``"0-256"`` or ``"64"``; all steps, or the last for a picture, if not given."""
    newest = reader.latest()
    if newest is None:
        raise HistoryError("The run has no pictures yet.", "Wait for its first step.")
    if text is None:
        return (newest, newest) if single else (0, newest)
    first, dash, last = text.partition("-")
    if not first.strip().isdecimal() or (dash and not last.strip().isdecimal()) or len(text) > 20:
        raise SpecError(f"--steps has {text[:20]!r}, which is no range.", "Write for example 0-256, or 64.")
    begin, end = int(first), int(last) if dash else int(first)
    if end < begin:
        raise SpecError(f"The range {text!r} runs backwards.", "Write for example 0-256.")
    if single and begin != end:
        raise SpecError("A picture is of one step.", "Write for example --steps 64.")
    return begin, end


def _fill(reader: RunReader, first: int, last: int, trust: bool) -> None:
    """Recompute what was thinned out."""
    from vizcore import replay
    from vizcore.cli.render import memory_errors
    from vizcore.cli.repeat import open_stored
    from vizcore.engine import devices

    if set(range(first, last + 1)) <= set(reader.steps().tolist()):
        return
    with memory_errors():
        devices.set_threads(False)
        network = open_stored(reader.spec.model, reader.spec.arch, trust)
        finish("recomputing", replay.remake(reader, network, first, last, devices.choose("auto")))


def _picture(reader: RunReader, step: int, channels: tuple[int, ...], out: Path) -> Result:
    """One filter as a PNG with its recipe, several as a contact sheet with that of the run."""
    import numpy as np

    from vizcore import export
    from vizcore.history import decode

    wanted = channels or reader.spec.channels
    frames = [reader.frame(step, channel) for channel in wanted]
    images = [decode(frame) for frame in frames if frame is not None]
    if len(images) < len(frames):
        raise HistoryError(f"The pictures of step {step} were not kept.", "Add --fill to recompute them.")
    image = images[0] if len(images) == 1 else export.contact_sheet(np.stack(images), [str(c) for c in wanted])
    recipe = export.recipe_of(reader, step, wanted[0] if len(wanted) == 1 else None)
    export.write_atomically(out, export.png_bytes(image, recipe))
    return _written(out, {"step": step, "filters": list(wanted)})


def _archive(names: list[str], out: Path) -> Result:
    from vizcore import archive
    from vizcore.runs import Library

    with bars.download(f"writing {out.name}") as progress:
        ids = archive.save(out, Library(), names, progress)
    return _written(out, {"runs": ids})


def _written(out: Path, more: dict[str, Any]) -> Result:
    size = out.stat().st_size
    data = {"file": str(out), "bytes": size, **more}
    return Result(data, console.cell(f"{out}: {console.size(size)}"))


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
    return Group(facts, "", scores, *(["", "knobs turned", *turns] if turns else []))
