"""``python -m benchmarks.gallery_dreams [PART …]``: docs/gallery-dreams.md, part by part.

A part is a method and a network (``dream-faces``); a method alone names those of all networks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch

from benchmarks.pages import DOCS, Made, Make, enlarged, rebuild
from benchmarks.render import SHARED
from benchmarks.step import SQUEEZENET
from vizcore.ascent import ascend
from vizcore.assets import keep_picture
from vizcore.dreamspec import dream
from vizcore.export import contact_sheet
from vizcore.look.pictures import Picture, fit, read
from vizcore.spec import RunSpec, build
from vizcore.train.data import open_dataset
from vizcore.zoo.load import Network, load

PAGE = DOCS / "gallery-dreams.md"
HEAD = """# Gallery: MACO, CPPN, dreams, inversion, caricature

Images beside pixels and Fourier coefficients, and pictures made from what a layer saw, on a CPU, with SqueezeNet 1.0
(ImageNet) and the bundled `imagenette-robust`, `cifar10`, `faces` and `digits`.
Made by `python -m benchmarks.gallery_dreams`, or a part of it by its name; do not edit.
Other pages: [looking](gallery.md), [generators](gallery-generators.md).
"""
DOG, JAY = (f"ILSVRC2012_val_000{n}.jpg" for n in ("08338", "18478"))
INVERT = {"steps": 200, "rate": 0.03, "decay": 0.0, "jitter": 4, "scale": 0.0, "rotate": 0.0, "pad": 0, "tv": 1e-6}
EXAGGERATE = {"steps": 128, "jitter": 8, "scale": 5.0, "rotate": 5.0, "decay": 0.004}


@dataclass(frozen=True)
class Place:
    """A network, the layers that are shown, and the pictures that it knows.

    Args:
        layers: early, middle and late; filters, dreams and MACO are of the middle one.
        size: px of the images of a filter, and ``side`` of a dream.
        data: a data set, and the rows of its test pictures to start from and to be guided by.
    """

    title: str
    layers: tuple[str, str, str]
    size: int = 128
    side: int = 320
    data: tuple[str, str, int, int] | None = None

    @property
    def small(self) -> bool:
        """Whether its pictures are smaller than their moves."""
        return self.size < 64


PLACES = {
    "squeezenet": Place("SqueezeNet 1.0", ("features.3", "features.7", "features.12")),
    "robust": Place("imagenette-robust", ("block1", "block2", "block3")),
    "cifar10": Place("cifar10", ("block1", "block2", "block3"), 32, 96, ("cifar10", "cifar10.zip", 5003, 13)),
    "faces": Place("faces", ("block1", "block2", "block3"), 48, 144, ("fer2013", "fer2013.zip", 3500, 1200)),
    "digits": Place("digits", ("relu1", "relu2", "pool2"), 28, 112, ("mnist", "mnist", 0, 2)),
}


@cache
def network(name: str) -> Network:
    """That of a place."""
    return load(str(SQUEEZENET), "squeezenet1_0") if name == "squeezenet" else load(name_of(name))


def name_of(name: str) -> str:
    """As vizcore knows it."""
    return "imagenette-robust" if name == "robust" else name


@cache
def pictures(name: str) -> tuple[Picture, Picture]:
    """The picture that is changed, and the guide, RGB."""
    place = PLACES[name]
    if place.data is None:
        return read(SHARED / "images" / DOG), read(SHARED / "images" / JAY)
    data, file, first, second = place.data
    test = open_dataset(data, SHARED / "data" / file).test
    assert test is not None
    rows = test.images[[first, second]].permute(0, 2, 3, 1).numpy()
    return tuple(np.repeat(row, 3, 2) if row.shape[2] == 1 else row for row in rows)  # type: ignore[return-value]


def last(spec: RunSpec, net: Network) -> Picture:
    """The last pictures of a run, uint8 ``[N, H, W, C]``."""
    *_, frame = ascend(spec, net, keep=lambda step: step == spec.steps)
    assert frame.images is not None
    return frame.images


def moves(place: Place) -> dict[str, object]:
    """Smaller moves for smaller pictures."""
    return {"jitter": 2, "pad": 2} if place.small else {}


def image(name: str, preset: str) -> Picture:
    """Eight filters of a layer by a preset."""
    place = PLACES[name]
    spec = build(name_of(name), place.layers[1], range(8), preset, size=place.size, **moves(place))
    tiles = enlarged(last(spec, network(name)), max(place.size, 112))
    return contact_sheet(tiles, [str(channel) for channel in spec.channels], columns=4 if place.size > 64 else 8)


def dreams(name: str, objective: str = "layer") -> Picture:
    """A picture, and what it became."""
    place, (own, guide) = PLACES[name], pictures(name)
    values: dict[str, object] = {"steps": 10, "rate": 0.02, "side": place.side}
    if objective == "guide":
        values["picture"] = keep_picture(guide)
    if place.small:
        values |= {"jitter": 4, "octaves": 3}
    spec = dream(name_of(name), place.layers[1], objective=objective, source=keep_picture(own), **values)  # type: ignore[arg-type]
    found = enlarged([last(spec, network(name))[0]], max(place.side, 256))[0]
    side = found.shape[0]
    panes = [own, guide, found] if objective == "guide" else [own, found]
    return contact_sheet(np.stack([square(pane, side) for pane in panes]), columns=len(panes))


def towards(name: str, objective: str, values: Mapping[str, object]) -> Picture:
    """A picture, and pictures in which a layer sees the same, or more of it; early, middle and late layers."""
    place, own = PLACES[name], pictures(name)[0]
    size = 160 if not place.small else place.size
    kept, tiles = keep_picture(own), [square(own, 160)]
    for layer in place.layers:
        given = {**values, **({"jitter": 2} if place.small else {})}
        spec = build(name_of(name), layer, [0], objective=objective, picture=kept, size=size, **given)  # type: ignore[arg-type]
        tiles.append(enlarged(last(spec, network(name)), 160)[0])
    return contact_sheet(np.stack(tiles), ["picture", *place.layers], columns=4)


def square(picture: Picture, side: int) -> Picture:
    """Its central square; a small one is enlarged by a whole factor first."""
    if min(picture.shape[:2]) >= side:
        return fit(picture, side)
    return enlarged([fit(picture, min(picture.shape[:2]))], side)[0]


@dataclass(frozen=True)
class Part:
    """A method: its title, its text, and how it is made for a network."""

    title: str
    text: str
    make: Callable[[str], Picture]
    all_layers: bool = False


METHODS: Mapping[str, Part] = {
    "maco": Part("MACO", "Preset MACO: free phases under the spectrum of photographs. Filters 0 to 7.",
                 lambda name: image(name, "MACO")),
    "cppn": Part("CPPN", "Preset CPPN: a small network paints each picture. Filters 0 to 7.",
                 lambda name: image(name, "CPPN")),
    "dream": Part("Dream", "Octaves of ten steps, towards all that the layer sees.", dreams),
    "guided": Part("Guided dream", "The same, towards what the layer sees in another picture (in the middle).",
                   lambda name: dreams(name, "guide")),
    "invert": Part("Inversion", "Fourier images in which a layer sees what it sees in the picture.",
                   lambda name: towards(name, "invert", INVERT), True),
    "caricature": Part("Caricature", "Fourier images in which a layer sees more of what it sees in the picture.",
                       lambda name: towards(name, "caricature", EXAGGERATE), True),
}  # fmt: skip


def make(key: str, name: str) -> Made | None:
    """A part, or None where its data are not there."""
    place, part = PLACES[name], METHODS[key]
    if place.data is not None and not (SHARED / "data" / place.data[1]).exists():
        return None
    torch.manual_seed(0)
    layers = "" if part.all_layers else f" Layer {place.layers[1]}."
    return Made(f"{part.title}, {place.title}", part.text + layers, part.make(name))


PARTS: Mapping[str, Make] = {f"{key}-{name}": partial(make, key, name) for key in METHODS for name in PLACES}


def main(names: list[str]) -> int:
    """Make the parts of these names, such as ``maco`` or ``dream-robust``."""
    if not SQUEEZENET.exists():
        print("the shared weights are not beside the checkout", file=sys.stderr)
        return 1
    return rebuild(PAGE, HEAD, PARTS, names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
