"""``vizcore dream``: a run like any other, whose last picture and journey are written to a folder."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.text import Text

from vizcore.cli import bars, console, render
from vizcore.errors import ExportError, SpecError
from vizcore.spec import RunSpec

if TYPE_CHECKING:
    from vizcore.runs import Library
    from vizcore.zoo.load import Network

NOISE = "noise"
FILMS = ("mp4", "webm", "webp", "gif")


@dataclass(frozen=True)
class Wish:
    """What is to be dreamt, as it stands on the command line."""

    source: str
    model: str
    layer: str
    arch: str | None
    channel: int | None
    guide: Path | None
    objective: str | None
    picture: Path | None
    steps: int
    values: dict[str, Any]

    def spec(self) -> RunSpec:
        """The spec; its pictures are read and kept.

        Raises:
            SpecError: a value out of range, objectives that contradict each other.
            PictureError: a picture that cannot be read.
        """
        from vizcore.assets import keep_picture
        from vizcore.dreamspec import dream

        chosen = [name for name in ("channel", "guide", "objective") if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise SpecError(f"--{chosen[0]} and --{chosen[1]} say different things.", "Give one of them.")
        named = {}
        if self.source != NOISE:
            named["source"] = keep_picture(Path(self.source))
        aim = self.guide or self.picture
        if aim is not None:
            named["picture"] = keep_picture(aim)
        elif self.objective is not None and named:
            named["picture"] = named["source"]
        objective = "guide" if self.guide else "channel" if self.channel is not None else self.objective or "layer"
        return dream(
            self.model, self.layer, (self.channel or 0,), objective, self.arch, self.steps, **self.values, **named
        )


@dataclass(frozen=True)
class Way:
    """Where and how it is dreamt."""

    out: Path
    fps: float = 15
    video: str = "mp4"
    exact: bool = False
    keep: bool = True
    threads: int | None = None
    device: str = "auto"


def dream(wish: Wish, way: Way) -> console.Result:
    """Carry out ``wish``; what can be refused is refused before the first step."""
    import torch

    from vizcore.ascent import ascend
    from vizcore.engine import devices
    from vizcore.memory import keep_freed

    if way.video not in FILMS:
        raise ExportError(f"There are no films of the kind {way.video[:20]!r}.", f"Use one of {', '.join(FILMS)}.")
    spec = wish.spec()
    keep_freed()
    device = devices.choose(way.device)
    render.writable(way.out)
    devices.set_threads(way.exact)
    if way.threads is not None and not way.exact:
        torch.set_num_threads(way.threads)
    network = render.open_network(wish.model, wish.arch)
    with contextlib.ExitStack() as stack:
        stack.enter_context(render.memory_errors())
        ascent = ascend(spec, network, device=device, exact=way.exact)
        facts = {**devices.environment(device, way.exact), "precision": ascent.precision}
        library = stack.enter_context(_library(way.keep or not spec.zoom_frames))
        recorded = way.keep or bool(spec.zoom_frames)
        run, writer = (
            stack.enter_context(render.recording(spec, network, facts, library=library)) if recorded else (None, None)
        )
        result = render.ascend_all(ascent, writer)
        files = [_save_picture(way.out, spec, result, network, facts)]
        if spec.zoom_frames and run is not None:
            files.append(_save_film(way, library, run, spec))
    data = {
        "run": run if way.keep else None, "model": spec.model, "layer": spec.layer, "objective": spec.objective,
        "size": [result.last.shape[2], result.last.shape[1]], "octaves": spec.octaves, "steps": result.step,
        "seconds": round(result.seconds, 3), "device": device, "precision": ascent.precision,
        "state": "interrupted" if result.interrupted else "done", "files": [str(file) for file in files],
        "note": result.note,
    }  # fmt: skip
    return console.Result(data, _view(data), console.INTERRUPTED if result.interrupted else 0)


@contextlib.contextmanager
def _library(kept: bool) -> Iterator[Library]:
    """The run library, or one that is gone afterwards: a film is made from a run file."""
    from vizcore.runs import Library

    if kept:
        yield Library()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Library(folder)


def _save_picture(
    folder: Path, spec: RunSpec, result: render.Ascended, network: Network, facts: dict[str, Any]
) -> Path:
    from vizcore import export

    path, channel = folder / "dream.png", spec.channels[0]
    return export.save_png(
        path, result.last[0], spec, result.step, (), facts, channel=channel, weights_hash=network.card.weights_hash
    )


def _save_film(way: Way, library: Library, run: str, spec: RunSpec) -> Path:
    from vizcore import animation
    from vizcore.dreamspec import journey

    path = way.out / f"journey.{way.video}"
    with library.open(run) as reader, bars.steps("film", spec.zoom_frames + 1) as advance:
        film = animation.Film(journey(spec), fps=way.fps)
        animation.save(path, reader, film, lambda done, total: advance(done))
    return path


def _view(data: dict[str, Any]) -> Group:
    width, height = data["size"]
    lines = [f"{data['steps']} steps in {data['seconds']:.1f} s on {data['device']}, {data['precision']}"]
    lines[0] += f"; {width} × {height} px"
    lines += [escape(file) for file in data["files"]]
    if data["run"]:
        lines.append(f"kept as run {data['run']} (see vizcore runs show {data['run']})")
    if data["state"] == "interrupted":
        lines.append("[yellow]interrupted[/]: this is the picture of the last step that was finished")
    if data["note"]:
        lines.append(f"[yellow]note[/] {escape(data['note'])}")
    return Group(*(Text.from_markup(line, overflow="fold") for line in lines))
