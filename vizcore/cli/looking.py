"""What look, top and weights take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vizcore.cli.arguments import Arch, Device, Json, Model, Out
from vizcore.cli.console import Result

Layer = Annotated[str, typer.Option(metavar="PATH", help="A layer, as vizcore layers lists them.")]
Size = Annotated[
    int | None, typer.Option(min=1, metavar="PX", help="The pictures' size; the network's own if not given.")
]
Channels = Annotated[str, typer.Option(metavar="LIST", help='Filters, such as "0-15, 40", or all.')]


def look(
    model: Model,
    images: Annotated[
        list[Path], typer.Argument(help="Pictures, folders or zips of pictures, or videos.", show_default=False)
    ],
    out: Out,
    layer: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="A layer; the scores of the classes if not given (activations: the "
            "layer that the network shows best).",
        ),
    ] = "",
    channel: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="A filter of the layer, or a class; the strongest if not given."),
    ] = None,
    neuron: Annotated[str, typer.Option(metavar="Y,X", help="The filter at this position of its map.")] = "",
    reduce: Annotated[str, typer.Option(metavar="NAME", help="Of a filter: its max or its mean.")] = "max",
    method: Annotated[
        str, typer.Option(metavar="NAME", help="activations, strip, all, or one of the methods of the reference page.")
    ] = "activations",
    mode: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How it is shown. Activations: gray, diverging, normalised, blurred; "
            "others: colour, gray, norm, blurred.",
        ),
    ] = "",
    shared: Annotated[bool, typer.Option("--shared/--own", help="One scale for all maps, or one for each.")] = True,
    focus: Annotated[float, typer.Option(metavar="X", help="The share of pixels that stay in focus.")] = 0.2,
    check: Annotated[
        bool,
        typer.Option("--check", help="Does the map depend on what was learnt? Randomise the network layer by layer."),
    ] = False,
    size: Size = None,
    beside: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Another network beside; up to three.")
    ] = None,
    depth: Annotated[
        str, typer.Option(metavar="NAME", help="With --beside: first, middle, last (convolution) or class.")
    ] = "class",
    frames: Annotated[int, typer.Option(min=1, metavar="N", help="Of a video: every Nth frame.")] = 30,
    arch: Arch = None,
    device: Device = "auto",
    json: Json = False,
) -> Result:
    """Show what a network makes of pictures: activations, deconvolution, heat maps."""
    from vizcore.cli import look as job

    order = job.Order(
        model,
        arch,
        tuple(images),
        layer,
        channel,
        neuron,
        reduce,
        method,
        mode,
        shared,
        focus,
        size,
        tuple(beside or ()),
        depth,
        frames,
        check,
    )
    return job.look(order, out, device)


def top(
    model: Model,
    data: Annotated[
        Path, typer.Argument(help="A folder or a zip of pictures, a class per folder.", show_default=False)
    ],
    layer: Layer,
    out: Out,
    channels: Channels = "0-15",
    only: Annotated[str, typer.Option(metavar="TEXT", help="Only pictures with this text in their path.")] = "",
    size: Size = None,
    deconv: Annotated[bool, typer.Option("--deconv/--no-deconv", help="Each patch's deconvolution beside it.")] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, whatever was kept.")] = False,
    arch: Arch = None,
    device: Device = "auto",
    json: Json = False,
) -> Result:
    """Find the nine patches of real pictures that excite each filter of a layer most."""
    from vizcore.cli import top as job

    return job.top(job.Order(model, arch, data, layer, channels, only, size, deconv, fresh), out, device)


def weights(
    model: Model,
    out: Out,
    layer: Annotated[str, typer.Option(metavar="PATH", help="A layer; the first one with weights if not given.")] = "",
    channels: Channels = "all",
    project: Annotated[
        bool, typer.Option("--project", help="Carry the filters back to pixels through the transposed weights.")
    ] = False,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --project: the picture whose maps are carried back.")
    ] = None,
    shared: Annotated[bool, typer.Option("--shared/--own", help="One scale for all, or one for each.")] = True,
    arch: Arch = None,
    json: Json = False,
) -> Result:
    """Show the weights: kernels as pictures or as a matrix, and their projections onto pixels."""
    from vizcore.cli import weights as job

    return job.weights(job.Order(model, arch, layer, channels, project, image, shared), out)
