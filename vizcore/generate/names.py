"""From a name to a generator.

::

    digits-generator        bundled, as is faces-generator
    FOLDER                  of vizcore train-generator
    deepsim:NET=FILE        a published one (:mod:`vizcore.generate.published`); NET is fc6, fc7, fc8 or pool5
    taesd, taesd=FOLDER     the tiny autoencoder, if diffusers is installed
    pixels                  no generator: pictures are their own codes
    NAME                    of the entry points "vizcore.generators", each a function that returns a Generator
"""

from __future__ import annotations

import difflib
from importlib.metadata import entry_points
from pathlib import Path

from vizcore.errors import ModelError
from vizcore.generate import files, published
from vizcore.generate.generator import Generator, Pixels
from vizcore.zoo.load import Network

GROUP = "vizcore.generators"


def open_generator(name: str, network: Network | None = None) -> Generator:
    """The generator that ``name`` names, checked.

    Args:
        network: whose size and channels ``pixels`` have.

    Raises:
        ModelError: there is no such generator, or it does not fit its own description.
    """
    folder = files.bundled().get(name)
    if folder is not None:
        return files.load(folder)
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
    near = difflib.get_close_matches(name, [*files.bundled(), "taesd", "pixels"], 1, 0.5)
    raise ModelError(
        f"There is no generator {path.name[:60]!r}.",
        f"Did you mean {near[0]}?" if near else f"Use {', '.join(files.bundled())}, or a folder of train-generator.",
    )


def _made(name: str, factory: object) -> Generator:
    """What an installed package's function makes."""
    if not callable(factory):
        raise ModelError(f"The generator {name} is no function.", "Give a function that returns a Generator.")
    found = factory()
    if not isinstance(found, Generator):
        raise ModelError(
            f"{name} gives a {type(found).__name__}, no generator.", "Return a vizcore.generate Generator."
        )
    found.check()
    return found
