"""``vizcore runs replay PICTURE.png``: the run of a picture once more, from its recipe, as a new run in the library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizcore.cli import bars, console
from vizcore.cli.console import Result
from vizcore.cli.stored import finish
from vizcore.errors import ExportError
from vizcore.export import Recipe, read_recipe

if TYPE_CHECKING:
    from vizcore.zoo.load import Network


def open_stored(model: str, arch: str | None, trusted: bool) -> Network:
    """The network that a run file or a recipe names; it may be from elsewhere, so it runs nobody's code unless trusted.

    Raises:
        ModelError: there is no such network, or it is a function.
    """
    from vizcore.cli.render import open_network

    return open_network(model, arch, allow_factory=trusted)


def repeat_picture(path: Path, device: str, trusted: bool) -> Result:
    """Make the picture of a PNG again, and the runs that it comes from, and say whether it is the same.

    Raises:
        ExportError: no recipe, or one that cannot be used; one of a fork that an earlier vizcore wrote.
    """
    from vizcore import replay
    from vizcore.ascent import ascend
    from vizcore.cli.render import memory_errors, record, recording
    from vizcore.engine import devices
    from vizcore.runs import Library
    from vizcore.spec import Knobs

    recipe = read_recipe(path)
    if recipe.extra.get("fork") and not recipe.above:
        raise ExportError("The picture is of a fork, which its recipe alone does not repeat.", "Import the run itself.")
    chosen, exact = devices.choose(device), recipe.extra.get("exact") is True
    devices.set_threads(exact)
    network = open_stored(recipe.spec.model, recipe.spec.arch, trusted)
    if recipe.weights_hash not in ("", network.card.weights_hash):
        raise ExportError("The network's weights are not those of the picture.", "Use the weights of that time.")
    spec = recipe.spec
    with memory_errors():
        root = None
        if recipe.above:
            again = replay.rebuild(recipe.above, spec, recipe.knobs, network, Library(), chosen, exact)
            root = finish("repeating what it was forked from", again)
        state = root.state if root else None
        ascent = ascend(spec, network, Knobs(spec, recipe.knobs), device=chosen, exact=exact, state=state)
        facts = {**devices.environment(chosen, exact), "precision": ascent.precision}
        with recording(spec, network, facts, root) as (run, writer):
            for turn in recipe.knobs:
                writer.knob(*turn)
            writer.checkpoint(ascent.step, ascent.checkpoint())
            images, reached = None, -1
            with bars.steps(f"repeating {path.name}", recipe.step) as advance:
                for frame in ascent:
                    record(writer, ascent, frame)
                    images, reached = frame.images, frame.step
                    advance(reached)
                    if reached >= recipe.step:
                        break
            writer.checkpoint(ascent.step, ascent.checkpoint())
            writer.set_state("done" if reached >= spec.steps else "paused")
    if images is None or reached < recipe.step:
        raise ExportError("The recipe ends before its step.", "Choose a PNG that vizcore wrote, unchanged.")
    difference = _distance(path, recipe, images)
    data = {
        "run": run, "parent": list(root.parent) if root else None,
        "step": reached, "channel": recipe.channel, "identical": difference == 0,
        "first_difference": None if difference == 0 else reached, "picture_difference": difference,
    }  # fmt: skip
    same = "The picture is the same." if difference == 0 else f"Its largest difference is {difference} of 255."
    if difference is None:
        same = "A contact sheet is not compared."
    return Result(data, console.cell(f"Repeated as run {run}, to step {reached}. {same}"))


def _distance(path: Path, recipe: Recipe, images: NDArray[np.uint8]) -> int | None:
    """The largest difference of a pixel between the PNG and the picture of its filter, as it is or as it is stored."""
    from vizcore.history.codec import StoredFrame, decode, encode

    if recipe.channel is None:
        return None
    image = images[recipe.spec.channels.index(recipe.channel)]
    grey = image.shape[2] == 1
    with Image.open(path, formats=["PNG"]) as picture:
        shown = (
            np.asarray(picture.convert("L" if grey else "RGB")).astype(int).reshape(picture.height, picture.width, -1)
        )
    if shown.shape != image.shape:
        return 255
    stored = decode(StoredFrame(0, 0, "image/jpeg", encode(image, False)[1], False, 0, 0, grey=grey))
    return min(int(np.abs(shown - other.astype(int)).max()) for other in (image, stored))
