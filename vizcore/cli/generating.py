"""What train-generator, generate and score take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vizcore.cli.arguments import Arch, Json, Model, Out
from vizcore.cli.console import Result
from vizcore.cli.flags import chosen, with_parameters
from vizcore.cli.training import DATASET_HELP, Data, Grey, Size
from vizcore.generate.spec import PARAMS as WALK
from vizcore.generate.spec import SHORT

GENERATOR_HELP = (
    "digits-generator, faces-generator, a folder of vizcore train-generator, deepsim:NET=FILE (fc6, fc7, fc8, pool5), "
    "taesd, "
    "or pixels for none."
)
# Written out, since the module that trains imports torch, and the command line does not until it must.
TRAINING: dict[str, tuple[str, str]] = {
    "steps": ("N", "Changes of the weights."), "batch_size": ("N", "Pictures of a step."),
    "lr": ("X", "Highest rate, of Adam; it rises and falls."),
    "feature": ("X", "Weight of the distance in an earlier layer."),
    "adversarial": ("X", "Weight of the discriminator's verdict."),
    "noise": ("X", "Of picture, feature and code, in their deviations: joint PPGN-h; 0 is the noiseless one."),
    "hidden": ("N", "Units of the decoder's dense layer."), "width": ("N", "Channels of the decoder's first maps."),
    "denoisers": ("N", "Steps of the denoisers that PPGN-h and PPGN-x ask; 0 for none."),
    "half": ("", "Compute in bf16, where the processor multiplies it."), "seed": ("N", "Of weights, order, noise."),
}  # fmt: skip


def train_generator(
    dataset: Annotated[str, typer.Argument(help=DATASET_HELP, show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="The folder of the generator; a training that was cut off there goes on.",
            show_default=False,
        ),
    ],
    data: Data = None,
    size: Size = None,
    channels: Grey = None,
    encoder: Annotated[
        str, typer.Option(metavar="MODEL", help="The network whose layer is the code; that of the data set.")
    ] = "",
    encoder_arch: Annotated[
        str | None, typer.Option(metavar="NAME", help="The architecture of an encoder file.")
    ] = None,
    layer: Annotated[
        str, typer.Option(metavar="LAYER", help="The layer that is the code; relu3 for digits, block3 for others.")
    ] = "",
    feature_layer: Annotated[
        str, typer.Option(metavar="LAYER", help="Of the feature loss; the last maps before the code if not given.")
    ] = "",
    steps: Annotated[str | None, typer.Option(metavar=TRAINING["steps"][0], help=TRAINING["steps"][1])] = None,
    batch_size: Annotated[str | None, typer.Option(metavar="N", help=TRAINING["batch_size"][1])] = None,
    lr: Annotated[str | None, typer.Option(metavar="X", help=TRAINING["lr"][1])] = None,
    feature: Annotated[str | None, typer.Option(metavar="X", help=TRAINING["feature"][1])] = None,
    adversarial: Annotated[str | None, typer.Option(metavar="X", help=TRAINING["adversarial"][1])] = None,
    noise: Annotated[str | None, typer.Option(metavar="X", help=TRAINING["noise"][1])] = None,
    hidden: Annotated[str | None, typer.Option(metavar="N", help=TRAINING["hidden"][1])] = None,
    width: Annotated[str | None, typer.Option(metavar="N", help=TRAINING["width"][1])] = None,
    denoisers: Annotated[str | None, typer.Option(metavar="N", help=TRAINING["denoisers"][1])] = None,
    half: Annotated[bool, typer.Option("--half", help=TRAINING["half"][1])] = False,
    seed: Annotated[str | None, typer.Option(metavar="N", help=TRAINING["seed"][1])] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="The generator's name for people.")] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, whatever is in the folder.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads of the CPU; all cores if not given.")
    ] = None,
    json: Json = False,
) -> Result:
    """Train a generator of pictures behind a layer of a network, on the CPU."""
    from vizcore.cli import train_generator as job

    given = {
        "steps": steps, "batch_size": batch_size, "lr": lr, "feature": feature, "adversarial": adversarial,
        "noise": noise, "hidden": hidden, "width": width, "denoisers": denoisers, "half": half or None, "seed": seed,
    }  # fmt: skip
    what = job.Order(
        dataset, data, size, channels, encoder, encoder_arch, layer, feature_layer, title,
        {key: value for key, value in given.items() if value is not None},
    )  # fmt: skip
    return job.train_generator(what, out, fresh, threads)


def generate(
    model: Model,
    generator: Annotated[str, typer.Option(metavar="NAME", help=GENERATOR_HELP)],
    out: Out,
    classes: Annotated[
        str, typer.Option(metavar="LIST", help='Classes, such as "0-9"; the first 10 if nothing is named.')
    ] = "",
    unit: Annotated[
        str,
        typer.Option(
            metavar="LAYER:LIST", help="Hidden units instead, such as relu2:0-7, or relu2:3@4,5 (row, column)."
        ),
    ] = "",
    variant: Annotated[str, typer.Option(metavar="NAME", help=f"{', '.join(SHORT)}.")] = "ppgn",
    chains: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Chains for each class or unit.")] = 1,
    above: Annotated[
        float, typer.Option(min=0, max=1, metavar="X", help="Keep samples of at least this probability.")
    ] = 0.0,
    transfer: Annotated[
        str, typer.Option(metavar="MODEL", help="Another network of the same classes, to judge the samples too.")
    ] = "",
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Start from the code of this picture.")] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --picture: keep it where this is white, and paint the rest."),
    ] = None,
    fit: Annotated[
        str, typer.Option(metavar="HOW", help="How pictures are fitted to the network: exact, resize or crop.")
    ] = "exact",
    arch: Arch = None,
    knobs: Annotated[
        list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="Any parameter below; may be repeated.")
    ] = None,
    json: Json = False,
    **parameters: Any,
) -> Result:
    """Let codes of a generator walk towards classes or units, and write what they paint; on the CPU."""
    from vizcore.cli import generate as job

    order = job.Order(
        model, arch, generator, classes, unit, variant, chains, above, transfer, picture, mask, fit,
        chosen(knobs or [], parameters),
    )  # fmt: skip
    return job.generate(order, out)


generate = with_parameters(generate, WALK)


def score(
    model: Model,
    dataset: Annotated[str, typer.Option(metavar="DATASET", help=f"Real pictures: {DATASET_HELP}", show_default=False)],
    out: Out,
    data: Data = None,
    classes: Annotated[
        str, typer.Option(metavar="LIST", help='Classes, such as "0-9"; the first 10 if nothing is named.')
    ] = "",
    unit: Annotated[str, typer.Option(metavar="LAYER:LIST", help="Hidden units instead, such as relu2:0-7.")] = "",
    methods: Annotated[
        str, typer.Option(metavar="LIST", help="pixel, fourier, maco, paper3, dgn-am, ppgn; all if not given.")
    ] = "",
    generator: Annotated[str, typer.Option(metavar="NAME", help=f"For dgn-am and ppgn: {GENERATOR_HELP}")] = "",
    transfer: Annotated[str, typer.Option(metavar="MODEL", help="Another network of the same classes.")] = "",
    seeds: Annotated[int, typer.Option(min=1, max=16, metavar="N", help="Pictures of each unit and method.")] = 3,
    steps: Annotated[int, typer.Option(min=0, max=8192, metavar="N", help="Of every method; 0 is its own number.")] = 0,
    most: Annotated[int, typer.Option(min=10, metavar="N", help="Real pictures, at most.")] = 5000,
    fit: Annotated[
        str, typer.Option(metavar="HOW", help="How a generator's pictures are fitted: exact, resize, crop.")
    ] = "exact",
    arch: Arch = None,
    json: Json = False,
) -> Result:
    """Hold pictures of the same units by several methods against real ones, as a table and a plot; on the CPU."""
    from vizcore.cli import score as job

    order = job.Order(model, arch, dataset, data, classes, unit, methods, generator, transfer, seeds, steps, most, fit)
    return job.score(order, out)
