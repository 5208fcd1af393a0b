"""``vizcore runs export``: pictures, films, tables and archives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizcore.cli import bars, console
from vizcore.cli.arguments import Json
from vizcore.cli.console import Result
from vizcore.cli.stored import Trust, finish, opened
from vizcore.errors import ExportError, HistoryError, SpecError
from vizcore.spec import parse_channels

if TYPE_CHECKING:
    from vizcore.history import RunReader

PICTURES, FILMS, TABLES, ARCHIVES = (".png",), (".gif", ".webp", ".mp4", ".webm"), (".csv", ".parquet"), (".zip",)


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
