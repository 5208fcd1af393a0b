"""What ``vizcore dream`` takes; :mod:`vizcore.cli.dream` carries it out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vizcore.cli.arguments import MODEL_HELP, Arch, Device, Json, Out
from vizcore.cli.console import Result
from vizcore.cli.flags import with_flags

FLAGS = {
    "octaves": "--octaves", "octave_scale": "--scale", "jitter": "--jitter", "side": "--size", "tile": "--tile",
    "rate": "--rate", "zoom_frames": "--zoom-frames", "zoom": "--zoom", "zoom_steps": "--zoom-steps",
    "start": "--start", "seed": "--seed", "precision": "--precision",
}  # fmt: skip


def _dream(
    source: Annotated[
        str, typer.Argument(metavar="PICTURE", help="A PNG, JPEG or WebP file, or noise.", show_default=False)
    ],
    model: Annotated[str, typer.Option(metavar="NAME", help=MODEL_HELP, show_default=False)],
    layer: Annotated[str, typer.Option(metavar="PATH", help="A layer with maps.", show_default=False)],
    out: Out,
    channel: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Dream of this filter; of all of the layer if not given.")
    ] = None,
    guide: Annotated[
        Path | None, typer.Option(metavar="PICTURE", help="Dream of what the layer sees in this picture.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(metavar="TEXT", help="As of vizcore render, in place of --channel and --guide.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What invert, caricature and guide aim at; the start if not given."),
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Steps of each octave.")] = 10,
    fps: Annotated[float, typer.Option(metavar="N", min=1, max=30, help="Pictures per second of the journey.")] = 15,
    video: Annotated[str, typer.Option(metavar="NAME", help="mp4, webm, webp or gif, for the journey.")] = "mp4",
    arch: Arch = None,
    exact: Annotated[bool, typer.Option("--exact", help="One thread and fp32: the same picture, bit by bit.")] = False,
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="Keep the run in the run library.")] = True,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads of the CPU; all if not given.")
    ] = None,
    device: Device = "auto",
    json: Json = False,
    **parameters: Any,
) -> Result:
    """Dream of what a layer sees in a picture, from small to large, and on into the picture as a film."""
    from vizcore.cli import dream as job

    wish = job.Wish(source, model, layer, arch, channel, guide, objective, picture, steps,
                    {name: value for name, value in parameters.items() if value is not None})  # fmt: skip
    return job.dream(wish, job.Way(out, fps, video, exact, keep, threads, device))


_dream.__name__ = "dream"
dream = with_flags(_dream, FLAGS)
