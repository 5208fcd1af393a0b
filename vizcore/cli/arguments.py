"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MODEL_HELP = (
    "A bundled or torchvision network (see vizcore models), timm:NAME, a weights file with --arch, "
    "or package.module:factory, which runs your code."
)

Model = Annotated[str, typer.Argument(help=MODEL_HELP, show_default=False)]
Arch = Annotated[str | None, typer.Option(metavar="NAME", help="The architecture of a weights file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="The folder that the pictures go to.", show_default=False)]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.")]
