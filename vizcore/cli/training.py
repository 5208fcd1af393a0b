"""What train, evaluate and inspect take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vizcore.cli.arguments import Arch, Device, Json, Model
from vizcore.cli.console import Result
from vizcore.cli.flags import with_parameters
from vizcore.train.recipe import PARAMS

DATASET_HELP = "efl, mnist, svhn, fer2013, cifar10, or a folder or zip with the pictures of each class in a folder."
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="Where a named data set lies; it is fetched if not given, where that is possible."
    ),
]
Size = Annotated[
    int | None, typer.Option(metavar="PX", help="Pixels a side that pictures of class folders are fitted to.")
]
Grey = Annotated[
    int | None, typer.Option(metavar="N", help="1 for grey, 3 for colour; as the pictures are if not given.")
]


def train(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help=DATASET_HELP, show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="The folder of the network; a training that was cut off there goes on.",
            show_default=False,
        ),
    ],
    data: Data = None,
    size: Size = None,
    channels: Grey = None,
    sample: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Train with N of the pictures; 0 is all.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option(metavar="NAME", help="mlp, cnn, small-resnet, digits, or a name of torchvision's.")
    ] = None,
    filters: Annotated[
        str | None, typer.Option(metavar="LIST", help="Filters of each block, such as 32,64,128.")
    ] = None,
    kernel: Annotated[int | None, typer.Option(min=1, max=31, metavar="PX", help="Side of the kernels.")] = None,
    stride: Annotated[int | None, typer.Option(min=1, max=8, metavar="PX", help="Stride of the convolutions.")] = None,
    activation: Annotated[str | None, typer.Option(metavar="NAME", help="relu, leakyrelu, elu or prelu.")] = None,
    alpha: Annotated[float | None, typer.Option(metavar="X", help="Of leakyrelu, elu and prelu.")] = None,
    dropout: Annotated[
        float | None, typer.Option(min=0, max=0.95, metavar="X", help="The share that is left out.")
    ] = None,
    units: Annotated[str | None, typer.Option(metavar="LIST", help="Units of each hidden dense layer.")] = None,
    bias: Annotated[bool | None, typer.Option("--bias/--no-bias", help="Of the dense layers of mlp.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Any other option of the architecture, as JSON.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Begin with the weights of this network; its head is new if the classes are.",
        ),
    ] = None,
    start_arch: Annotated[str | None, typer.Option(metavar="NAME", help="The architecture of a --start file.")] = None,
    tune: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --start: head, all, or the layer from which weights change."),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="flip, zoom, rotate, crop, shift, light, cutout, such as flip,crop:4."),
    ] = None,
    robust: Annotated[
        str | None,
        typer.Option(
            metavar="l2:X", help="Train against perturbations of this length (pixels in [0, 1]); l2:X:1 is quicker."
        ),
    ] = None,
    restarts: Annotated[
        int | None, typer.Option(min=0, max=1000, metavar="N", help="Try up to N seeds, until one is good enough.")
    ] = None,
    until: Annotated[
        float | None, typer.Option(metavar="X", help="The validation accuracy that is good enough.")
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="The network's name for people.")] = None,
    half: Annotated[bool, typer.Option("--half", help="Store the weights in half precision.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, whatever is in the folder.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write the curves for TensorBoard.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads of the CPU; all cores if not given.")
    ] = None,
    device: Device = "auto",
    json: Json = False,
    **parameters: Any,
) -> Result:
    """Train a network on pictures, and keep it as one that every other command takes."""
    from vizcore.cli import train as job

    given = {
        "filters": filters, "kernel": kernel, "stride": stride, "activation": activation, "alpha": alpha,
        "dropout": dropout, "units": units, "bias": bias,
    }  # fmt: skip
    values = {
        "data": None if data is None else str(data), "size": size, "channels": channels, "sample": sample,
        "arch": arch, "start": start, "start_arch": start_arch, "tune": tune, "augment": augment, "robust": robust,
        "restarts": restarts, "until": until, "half": half or None,
        "title": title,
    }  # fmt: skip
    what = job.ordered(dataset, values, given, option or [], parameters)
    return job.train(what, job.Setting(out, fresh, tensorboard, threads, device, context.obj or ()))


train = with_parameters(train, PARAMS)

Part = Annotated[str, typer.Option(metavar="NAME", help="test, validate or train.")]


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(help="Networks, files, folders of vizcore train; several are an ensemble.", show_default=False),
    ],
    dataset: Annotated[str, typer.Option(metavar="DATASET", help=DATASET_HELP, show_default=False)],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder for pictures and the report.", show_default=False)
    ],
    data: Data = None,
    part: Part = "test",
    most: Annotated[int, typer.Option(min=0, metavar="N", help="At most N pictures, evenly drawn; 0 is all.")] = 0,
    robust: Annotated[
        str, typer.Option(metavar="l2:X", help="Also under a 20-step attack of this length (pixels in [0, 1]).")
    ] = "",
    arch: Arch = None,
    device: Device = "auto",
    json: Json = False,
) -> Result:
    """Measure networks: accuracy, confusions, the surest mistakes, learning curves."""
    from vizcore.cli import evaluate as job

    return job.evaluate(job.Order(tuple(models), arch, dataset, data, part, most, robust), out, device)


def inspect(
    model: Model,
    dataset: Annotated[
        str, typer.Option(metavar="DATASET", help="Pictures to look for dead filters with; made-up ones if not given.")
    ] = "",
    data: Data = None,
    part: Part = "test",
    most: Annotated[int, typer.Option(min=1, metavar="N", help="At most N pictures, evenly drawn.")] = 1000,
    arch: Arch = None,
    device: Device = "auto",
    json: Json = False,
) -> Result:
    """Report what is wrong with a network's filters: dead, doubled, aliased, too small or too large a view."""
    from vizcore.cli import inspect as job

    return job.inspect(job.Order(model, arch, dataset, data, part, most), device)
