"""``vizcore render``: from a spec to one picture per filter on disk.

::

    order ─► network ─► spec ─► ascend ─► run file (kept in the library)
                                  └─► first and last pictures ─► plain scores, PNG files, contact sheet
"""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from vizcore.cli import bars, console
from vizcore.errors import EngineError, ExportError, SpecError
from vizcore.spec import CODE, PARAMS, PRESETS, RunSpec, build, check_channels, parse_channels

if TYPE_CHECKING:
    from vizcore.ascent import Ascent, Frame
    from vizcore.history import RunWriter
    from vizcore.replay import Branch
    from vizcore.runs import Library
    from vizcore.zoo.load import Network

FIRST = 16  # filters if none are named
SHEET = "sheet.png"


Pictures = NDArray[np.uint8]  # [N, H, W, C]


@dataclass(frozen=True)
class Order:
    """What is to be rendered, as it stands on the command line."""

    model: str
    layer: str
    channels: str | None
    preset: str
    objective: str
    arch: str | None
    values: dict[str, Any]

    def spec(self, network: Network, device: str) -> RunSpec:
        """The spec of this order; the size is the network's own unless given, the filters the layer's first.

        Raises:
            SpecError: a value out of range, a malformed list.
            LayerError: a layer that the network does not have.
        """
        from vizcore.layers import find_layer
        from vizcore.objectives import parse
        from vizcore.zoo.card import default_size

        preset, values = self.preset, {"size": default_size(network.card, device), **self.values}
        if (
            values.get("parameterization") == "generator"
            and PRESETS.get(preset, {}).get("parameterization") != "generator"
        ):
            preset = CODE  # one that was made for pixels moves the picture too far
        channels: str | range | tuple[int, ...] | None = self.channels
        if channels is None and parse(self.objective, self.layer, (0,), network.card).aims:
            channels = "0"  # the same for every filter
        elif channels is None:
            count = find_layer(network, self.layer).channels if self.layer else len(network.card.classes)
            channels = range(min(FIRST, count))
        chains = int(PARAMS["chains"].coerce(values.get("chains", 1)))
        if chains > 1:
            targets = parse_channels(channels) if isinstance(channels, str) else channels
            channels = check_channels(target * chains + chain for target in targets for chain in range(chains))
        return build(self.model, self.layer, channels, preset, self.arch, self.objective, **values)


def painted(values: dict[str, Any], generator: str, source: Path | None, mask: Path | None) -> dict[str, Any]:
    """What ``--generator``, ``--source`` and ``--mask`` mean beside the parameters in ``values``.

    Raises:
        SpecError: there is nothing that they could mean.
        PictureError: a file that is no picture.
    """
    from vizcore.assets import keep_picture

    given = {"generator": generator} if generator else {}
    if mask is not None and source is None:
        raise SpecError("--mask needs a picture.", "Give --source FILE.")
    for name, file in (("source", source), ("mask", mask)):
        if file is not None:
            given[name] = keep_picture(file)
    if mask is not None and "eps4" not in values:
        given["eps4"] = "1"
    return given


@dataclass(frozen=True)
class Setting:
    """Where and how it is rendered."""

    out: Path
    exact: bool = False
    keep: bool = True
    threads: int | None = None
    device: str = "auto"
    transparent: bool = False


@dataclass
class Ascended:
    """What the ascent left: the first pictures, and the last with their step."""

    first: Pictures
    last: Pictures
    step: int
    status: tuple[str, ...]
    seconds: float
    interrupted: bool
    note: str = ""
    opacity: Pictures | None = None  # [N, H, W, 1] of an image that knows where it is empty


def render(order: Order, setting: Setting) -> console.Result:
    """Carry out ``order``; what can be refused is refused before the first step."""
    import torch

    from vizcore.ascent import ascend
    from vizcore.engine import devices
    from vizcore.memory import keep_freed

    keep_freed()
    device = devices.choose(setting.device)
    writable(setting.out)
    devices.set_threads(setting.exact)
    if setting.threads is not None and not setting.exact:
        torch.set_num_threads(setting.threads)
    network = open_network(order.model, order.arch)
    spec = order.spec(network, device)
    if setting.transparent and spec.parameterization != "maco":
        raise SpecError(
            "Only MACO pictures know where they are empty.", "Use --image maco, or leave out --transparent."
        )
    with contextlib.ExitStack() as stack:
        stack.enter_context(memory_errors())
        ascent = ascend(spec, network, device=device, exact=setting.exact)
        facts = {**devices.environment(device, setting.exact), "precision": ascent.precision}
        run, writer = stack.enter_context(recording(spec, network, facts)) if setting.keep else (None, None)
        result = ascend_all(ascent, writer)
        result.opacity = opacity(ascent) if setting.transparent else None
        scores = [plain_scores(spec, network, pictures) for pictures in (result.first, result.last)]
    result.note = result.note or ascent.note
    files = save(setting.out, spec, result, network.card.weights_hash, facts)
    data = {
        "run": run,
        "model": spec.model,
        "layer": spec.layer,
        "size": spec.size,
        "steps": result.step,
        "seconds": round(result.seconds, 3),
        "steps_per_second": round(result.step / result.seconds, 2),
        "device": device,
        "precision": ascent.precision,
        "state": "interrupted" if result.interrupted else "done",
        "filters": [
            {"channel": channel, "start": start, "end": end, "status": status, "file": str(file)}
            for channel, start, end, status, file in zip(spec.channels, *scores, result.status, files, strict=True)
        ],
        "sheet": str(setting.out / SHEET),
        "note": result.note,
    }
    return console.Result(data, view(data), console.INTERRUPTED if result.interrupted else 0)


def open_network(model: str, arch: str | None, allow_factory: bool = True) -> Network:
    """The network of that name, with a bar while weights are fetched; the only place where a factory may be named."""
    from vizcore.zoo.load import load

    if allow_factory and ":" in model and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # package.module:factory may lie in the current folder
    with bars.download(f"fetching {model}") as progress:
        return load(model, arch, allow_factory=allow_factory, progress=progress)


def writable(folder: Path) -> None:
    """Make ``folder`` and try it, so that a long ascent does not end in a refusal."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        reason = console.from_os(error)
        raise ExportError(f"The pictures cannot be written to --out. {reason.message}", reason.hint) from error


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turn the allocators' errors into one sentence."""
    from vizcore.engine import failures
    from vizcore.memory import is_out_of_memory

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise failures.out_of_memory(error) from error
        raise


@contextlib.contextmanager
def recording(
    spec: RunSpec, network: Network, facts: dict[str, Any], root: Branch | None = None, library: Library | None = None
) -> Iterator[tuple[str, RunWriter]]:
    """A new run in a library (the user's if not given), or a fork: its id and writer.

    However this ends, the file is closed and says how.
    """
    from vizcore import runs

    run, writer = (library or runs.Library()).create(
        spec, environment=facts, weights_hash=network.card.weights_hash, parent=root.parent if root else None,
        shared=root.shared if root else None, facts=root.facts if root else None,
    )  # fmt: skip
    try:
        yield run, writer
    except BaseException as error:
        writer.set_state("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    finally:
        writer.close()


def ascend_all(ascent: Ascent, writer: RunWriter | None) -> Ascended:
    """Go through the ascent, with a bar; Ctrl-C ends it after the current step, and what was reached is kept."""
    spec = ascent.spec
    frames: list[Frame] = []  # the first and the newest
    if writer is not None:
        writer.checkpoint(ascent.step, ascent.checkpoint())
    began = time.perf_counter()
    end = int(ascent.knobs.at(ascent.step)["steps"])
    with interruptible() as interrupted, bars.steps(f"{spec.model} {spec.layer}", end) as advance:
        for frame in ascent:
            frames[1:] = [frame]
            if writer is not None:
                record(writer, ascent, frame)
            advance(frame.step)
            if interrupted():
                break
    seconds = time.perf_counter() - began
    first, last = frames[0].images, frames[-1].images
    if first is None or last is None:
        raise EngineError("The ascent kept no picture.", "This is a bug in vizcore.")
    ended_early = frames[-1].step < end
    note = ""
    if writer is not None:
        writer.checkpoint(ascent.step, ascent.checkpoint())
        writer.set_state("interrupted" if ended_early else "done", seconds=round(seconds, 3))
        writer.flush()
        note = str(writer.error or "")
    return Ascended(first, last, frames[-1].step, frames[-1].status, seconds, ended_early, note)


def record(writer: RunWriter, ascent: Ascent, frame: Frame) -> None:
    """Hand a frame, and from time to time a checkpoint, to the run file."""
    from vizcore.history import checkpoint_every

    if frame.images is not None:
        writer.add(frame.step, frame.images, frame.scores, frame.gradient_norms, frame.status)
    if ascent.step % checkpoint_every(ascent.spec) == 0:
        writer.checkpoint(ascent.step, ascent.checkpoint())


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """A question: was Ctrl-C pressed?  Pressed again, it interrupts at once."""
    asked = threading.Event()

    def ask(number: int, frame: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, previous)


def opacity(ascent: Ascent) -> Pictures:
    """Where the gradient has been, in proportion, ``[N, H, W, 1]``: full from the 95th percentile on."""
    seen = ascent.checkpoint()["transparency"]
    full = np.quantile(seen, 0.95, axis=(1, 2), keepdims=True)
    share = np.divide(seen, full, out=np.zeros_like(seen), where=full > 0).clip(0, 1)
    return np.asarray(share * 255 + 0.5, np.uint8)[..., None]


def plain_scores(spec: RunSpec, network: Network, pictures: Pictures) -> list[float]:
    """The fp32 score of each picture as it is: not moved, no penalty."""
    import torch

    from vizcore.ascent import score

    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return [float(value) for value in score(spec, network, images)]


def save(folder: Path, spec: RunSpec, result: Ascended, weights_hash: str, facts: dict[str, Any]) -> list[Path]:
    """One PNG for each filter, with its recipe inside, and a contact sheet; returns the former."""
    from vizcore import export

    name = re.sub(r"[^\w.-]", "_", spec.layer or "logits")
    files = []
    for channel, picture in zip(spec.channels, result.last, strict=True):
        path = folder / f"{name}-{channel:04d}.png"
        export.save_png(path, picture, spec, result.step, (), facts, channel=channel, weights_hash=weights_hash)
        files.append(path)
    for channel, picture, mask in zip(
        spec.channels, result.last, () if result.opacity is None else result.opacity, strict=False
    ):
        path = folder / f"{name}-{channel:04d}-transparent.png"
        both = np.concatenate([picture, mask], -1)
        export.save_png(path, both, spec, result.step, (), facts, channel=channel, weights_hash=weights_hash)
    export.save_sheet(folder / SHEET, result.last, spec, result.step, (), facts, weights_hash=weights_hash)
    return files


def view(data: dict[str, Any]) -> RenderableType:
    """The result for people."""
    columns = ("filter", "start", "end", "status", "file")
    scores = console.table(*columns, numbers=("filter", "start", "end"))
    for item in data["filters"]:
        scores.add_row(*map(console.cell, item.values()))
    lines = [f"{data['steps']} steps in {data['seconds']:.1f} s ({data['steps_per_second']:.1f} steps/s)"]
    lines[0] += f" on {data['device']}, {data['precision']}; contact sheet: {escape(data['sheet'])}"
    if data["run"]:
        lines.append(f"kept as run {data['run']} (see vizcore runs show {data['run']})")
    if data["state"] == "interrupted":
        lines.append("[yellow]interrupted[/]: these are the pictures of the last step that was finished")
    if data["note"]:
        lines.append(f"[yellow]note[/] {escape(data['note'])}")
    return Group(scores, "", *(Text.from_markup(line, overflow="fold") for line in lines))
