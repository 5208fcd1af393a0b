"""What each command takes and gives.  torch is imported only by the commands that need it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import vizcore
from vizcore.cli import console, dreaming, generating, looking, mapping, training
from vizcore.cli.arguments import Arch, Json, Model
from vizcore.cli.console import Result
from vizcore.cli.flags import chosen, with_parameters
from vizcore.cli.runs import runs
from vizcore.errors import SpecError
from vizcore.spec import PRESETS

app = typer.Typer(
    name="vizcore",
    help="See what the filters of a convolutional network look for.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(runs, name="runs")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vizcore {vizcore.__version__}")
        raise typer.Exit


@app.callback()
def vizcore_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See what the filters of a convolutional network look for."""


@app.command()
def models(json: Json = False) -> Result:
    """List what can be loaded, from where, and whether the weights are on this disk."""
    from vizcore.zoo.load import models as all_models

    keys = ("name", "source", "on_disk", "classes", "size", "channels")
    entries = [{key: getattr(entry, key) for key in keys} for entry in all_models()]
    view = console.table(
        "name", "source", "on disk", "classes", "size", "channels", numbers=("classes", "size", "channels")
    )
    for entry in entries:
        view.add_row(*(console.cell(entry[key]) for key in keys))
    return Result({"models": entries}, view)


@app.command()
def layers(
    model: Model,
    arch: Arch = None,
    size: Annotated[
        int | None, typer.Option(metavar="PX", help="The picture's size; the network's own if not given.")
    ] = None,
    search: Annotated[
        str, typer.Option(metavar="TEXT", help="Only the layers with this text in their path or kind.")
    ] = "",
    json: Json = False,
) -> Result:
    """List the layers of a network: path, kind, channels, size of the output, receptive field."""
    from vizcore.cli.render import open_network
    from vizcore.layers import list_layers
    from vizcore.layers import search as matching

    found = list_layers(open_network(model, arch), size)
    keys = ("path", "kind", "channels", "height", "width", "receptive_field")
    entries = [{key: getattr(layer, key) for key in keys} for layer in (matching(found, search) if search else found)]
    view = console.table(
        "layer", "kind", "channels", "height", "width", "receptive field", numbers=(*keys[2:], "receptive field")
    )
    for entry in entries:
        view.add_row(*(console.cell(entry[key]) for key in keys))
    nothing = f"No layer of {model} has {console.cell(search)!r} in its path or kind."
    return Result({"layers": entries}, view if entries else nothing)


@app.command()
@with_parameters
def render(
    model: Model,
    layer: Annotated[str, typer.Argument(help="A layer, as vizcore layers lists them.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder that the pictures go to.", show_default=False)],
    channels: Annotated[
        str | None, typer.Option(metavar="LIST", help='Filters, such as "0-15, 40"; the first 16 if not given.')
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"The preset to start from: {', '.join(PRESETS)}. "
            "--image generator alone is a noiseless joint PPGN-h.",
        ),
    ] = "Crisp",
    objective: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="channel, neuron, layer, class, direction, invert, caricature, guide, or a sum of them.",
        ),
    ] = "channel",
    arch: Arch = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the objectives invert, caricature and guide aim at."),
    ] = None,
    spectrum: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Pictures (or a zip) whose magnitude spectrum --image maco keeps."),
    ] = None,
    generator: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="With --image generator: as for vizcore generate; the one that fits if not given."
        ),
    ] = "",
    source: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --image generator: the picture whose code is the start.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --source: keep it where this is white, and paint the rest."),
    ] = None,
    transparent: Annotated[
        bool, typer.Option("--transparent", help="Also PNGs that are clear where --image maco changed nothing.")
    ] = False,
    knobs: Annotated[
        list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="Any parameter below; may be repeated.")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="One thread and fp32: the same pictures, bit by bit, each time.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Keep the run, with its history, in the run library.")
    ] = True,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads of the CPU; all cores if not given.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.")] = "auto",
    json: Json = False,
    **parameters: Any,
) -> Result:
    """Ascend filters and write one picture for each, with its recipe inside, and a contact sheet."""
    from vizcore.cli import render as job

    values = chosen(knobs or [], parameters)
    if picture is not None:
        from vizcore.assets import keep_picture

        values["picture"] = keep_picture(picture)
    if spectrum is not None:
        from vizcore.spectrum import of_folder

        values["spectrum"] = of_folder(spectrum)
    values |= job.painted(values, generator, source, mask)
    order = job.Order(model, layer, channels, preset, objective, arch, values)
    return job.render(order, job.Setting(out, exact, keep, threads, device, transparent))


app.command()(dreaming.dream)
app.add_typer(mapping.atlas, name="atlas")
app.command()(looking.look)
app.command()(looking.top)
app.command()(looking.weights)
app.command()(training.train)
app.command()(training.evaluate)
app.command()(training.inspect)
app.command()(generating.train_generator)
app.command()(generating.generate)
app.command()(generating.score)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve() -> None:
    """Start the dashboard (its own options: vizcore serve --help)."""
    raise SpecError("serve comes first on the command line.", "Run vizcore serve --help.")
