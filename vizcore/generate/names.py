"""From a name to a generator.

::

    digits-generator        bundled, as is faces-generator
    FOLDER                  of vizcore train-generator
    deepsim:NET=FILE        a published one (:mod:`vizcore.generate.published`); NET is fc6, fc7, fc8 or pool5
    taesd, taesd=FOLDER     the tiny autoencoder, if diffusers is installed
    pixels                  no generator: pictures are their own codes
    NAME                    that lies in ``generators`` beside the runs (:mod:`vizcore.generate.shelf`)
    NAME                    of the entry points "vizcore.generators", each a function that returns a Generator
"""

from __future__ import annotations

import difflib
import weakref
from importlib.metadata import entry_points
from pathlib import Path

import torch

from vizcore.errors import GeneratorError
from vizcore.generate import files, published, shelf
from vizcore.generate.generator import Generator, Pixels
from vizcore.zoo.load import Network

GROUP = "vizcore.generators"

_OPEN: weakref.WeakValueDictionary[tuple[str, str, float], Generator] = weakref.WeakValueDictionary()
"""Those that runs use now, by name, device and the time of their weights."""


def of_run(name: str, network: Network, device: torch.device) -> Generator:
    """The generator of a run on its device; the one that fits the network if no name is given.

    Raises:
        GeneratorError: as :func:`open_generator`, or there is none that fits.
    """
    name = name or shelf.fitting(network.card)
    place = shelf.places().get(name, Path(name))
    weights = place / files.WEIGHTS if place.is_dir() else place
    key = (name if name != "pixels" else f"pixels of {network.card.name}", str(device), _stamp(weights))
    found = _OPEN.get(key)
    if found is None:
        found = _OPEN[key] = open_generator(name, network).to(device)
    return found


def _stamp(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def open_generator(name: str, network: Network | None = None) -> Generator:
    """The generator that ``name`` names, checked.

    Args:
        network: whose size and channels ``pixels`` have.

    Raises:
        GeneratorError: there is no such generator, or it does not fit its own description.
    """
    place = shelf.places().get(name)
    if place is not None and place.is_file():
        return published.deepsim(name.removeprefix("deepsim-"), place)
    if place is not None:
        return files.load(place)
    if name == "pixels" and network is not None:
        return Pixels((network.card.channels, network.card.size, network.card.size))
    if name.startswith("deepsim:"):
        net, _, file = name.removeprefix("deepsim:").partition("=")
        return published.deepsim(net, Path(file))
    if name == "taesd" or name.startswith("taesd="):
        return published.taesd(name.partition("=")[2])
    for entry in entry_points(group=GROUP, name=name):
        return _made(name, entry.load())
    path = Path(name)
    if path.is_file() and path.name in (files.CARD, files.WEIGHTS):
        path = path.parent
    if path.is_dir():
        return files.load(path)
    near = difflib.get_close_matches(name, [*shelf.places(), "taesd", "pixels"], 1, 0.5)
    raise GeneratorError(
        f"There is no generator {path.name[:60]!r}.",
        f"Did you mean {near[0]}?" if near else f"Use {', '.join(files.bundled())}, or a folder of train-generator.",
    )


def _made(name: str, factory: object) -> Generator:
    """What an installed package's function makes."""
    if not callable(factory):
        raise GeneratorError(f"The generator {name} is no function.", "Give a function that returns a Generator.")
    found = factory()
    if not isinstance(found, Generator):
        raise GeneratorError(
            f"{name} gives a {type(found).__name__}, no generator.", "Return a vizcore.generate Generator."
        )
    found.check()
    return found
