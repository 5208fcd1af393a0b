"""What ``vizcore atlas`` and ``vizcore atlas export`` take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vizcore.cli.arguments import Arch, Device, Json, Model
from vizcore.cli.console import Result
from vizcore.cli.flags import chosen, with_parameters


class _Atlas(TyperGroup):
    """``vizcore atlas MODEL`` is ``vizcore atlas make MODEL``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args.insert(0, "make")
        return super().parse_args(ctx, args)


atlas = typer.Typer(
    cls=_Atlas, no_args_is_help=True, help="Render every filter of a network, or go on with it; or make a site of it."
)  # fmt: skip


@atlas.command()
@with_parameters
def make(
    model: Model,
    layers: Annotated[
        str,
        typer.Option(
            metavar="PATTERN",
            help='Layers or kinds, such as "layer3.*, conv1" or relu; all convolutions and dense layers if not given.',
        ),
    ] = "",
    channels: Annotated[
        str | None, typer.Option(metavar="LIST", help='Filters of each layer, such as "0-63, 100"; all if not given.')
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="A folder, or a URL that all workers reach (fsspec); where the page looks for atlases if not given.",
        ),
    ] = None,
    preset: Annotated[str, typer.Option(metavar="NAME", help="The preset to start from.")] = "Crisp",
    arch: Arch = None,
    knobs: Annotated[
        list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="Any parameter below; may be repeated.")
    ] = None,
    beside: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="PARTS",
            help="Beside each tile: patches (real ones), deconv (of them), weights (incoming), similar (filters); "
            "several with commas, or all.",
        ),
    ] = "",
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder or a zip of real pictures, for patches, deconv and similar."),
    ] = None,
    only: Annotated[
        str, typer.Option(metavar="TEXT", help="Of --data only pictures with this text in their path.")
    ] = "",
    exact: Annotated[
        bool, typer.Option("--exact", help="One filter at a time, fp32, one thread: the same tiles, bit by bit.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=256,
            metavar="N",
            help="Processes; if not given, one for each GPU, or for each core as far as memory allows.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A Dask scheduler, or local for a Dask cluster on this machine."),
    ] = None,
    shard: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="SECONDS", help="Length of a piece of work; 30 to 90 s by itself."),
    ] = None,
    device: Device = "auto",
    json: Json = False,
    **parameters: Any,
) -> Result:
    """Render every filter of the chosen layers; what is there already stays as it is (optional word: make)."""
    from vizcore.cli import atlas as work

    order = work.Order(
        model, layers, channels, preset, arch, chosen(knobs or [], parameters), exact, beside, data, only
    )  # fmt: skip
    place = out if out is not None else str(work.default_out(model))
    return work.make(order, work.Setting(place, device, workers, scheduler, shard, json))


@atlas.command()
def export(
    source: Annotated[str, typer.Argument(metavar="ATLAS", help="A finished or growing atlas.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the site.", show_default=False)],
    json: Json = False,
) -> Result:
    """Make a static site of an atlas: HTML, images and JSON that open from a folder or any web server."""
    from vizcore.cli import atlas as work

    return work.export(source, out)
