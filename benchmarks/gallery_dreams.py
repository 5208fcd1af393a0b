"""``python -m benchmarks.gallery_dreams [PART …]``: the last section of docs/gallery.md, part by part.

Without names, all parts are made; the text is written anew each time, with the pictures that are there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.render import SHARED
from benchmarks.step import SQUEEZENET
from vizcore.ascent import ascend
from vizcore.assets import keep_picture
from vizcore.dreamspec import dream
from vizcore.export import contact_sheet
from vizcore.look.pictures import Picture, fit, read
from vizcore.spec import RunSpec, build
from vizcore.zoo.load import Network, load

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
FOLDER = PAGE.with_suffix("")
MARK = "## Images, dreams, and pictures made from what a layer saw"
INTRO = """Made by `python -m benchmarks.gallery_dreams`. SqueezeNet 1.0 (`features.7`, ImageNet) and the bundled
`imagenette-robust` (`block2`), on a CPU."""
DOG, JAY, CAT = (f"ILSVRC2012_val_000{n}.jpg" for n in ("08338", "18478", "16655"))
NETWORKS = {"squeezenet": "features.7", "robust": "block2"}


def network(name: str) -> Network:
    """One of the two."""
    return load(str(SQUEEZENET), "squeezenet1_0") if name == "squeezenet" else load("imagenette-robust")


def last(spec: RunSpec, net: Network) -> Picture:
    """The last pictures of a run, uint8 ``[N, H, W, 3]``."""
    *_, frame = ascend(spec, net, keep=lambda step: step == spec.steps)
    assert frame.images is not None
    return frame.images


def image(name: str, preset: str) -> Picture:
    """Eight filters of a layer by a preset."""
    spec = build(name, NETWORKS[name], range(8), preset, size=128)
    return contact_sheet(last(spec, network(name)), [str(channel) for channel in spec.channels], columns=4)


def dreams(name: str, **values: object) -> Picture:
    """A photograph, and what it became."""
    kept = keep_picture(SHARED / "images" / DOG)
    wish = {"objective": "layer", "steps": 10, "rate": 0.02, "side": 320, **values}
    spec = dream(name, NETWORKS[name], source=kept, **wish)  # type: ignore[arg-type]
    found = last(spec, network(name))[0]
    return beside(fit(read(SHARED / "images" / DOG), 320), fit(found, 320))


def towards(name: str, objective: str, **values: object) -> Picture:
    """A photograph, and pictures in which a layer sees the same, or more of it; early, middle and late layers."""
    layers = {"squeezenet": ("features.3", "features.7", "features.12"), "robust": ("block1", "block2", "block3")}[name]
    kept = keep_picture(SHARED / "images" / DOG)
    net, tiles = network(name), [fit(read(SHARED / "images" / DOG), 160)]
    for layer in layers:
        spec = build(name, layer, [0], objective=objective, picture=kept, size=160, **values)
        tiles.append(last(spec, net)[0])
    return contact_sheet(np.stack(tiles), ["photograph", *layers], columns=4)


def beside(*pictures: Picture) -> Picture:
    """Pictures of one size in a row."""
    return contact_sheet(np.stack(pictures), columns=len(pictures))


@dataclass(frozen=True)
class Part:
    """A picture of the gallery: its title, its text, and how it is made for either network."""

    title: str
    text: str
    make: Callable[[str], Picture]


INVERT = {"steps": 200, "rate": 0.03, "decay": 0.0, "jitter": 4, "scale": 0.0, "rotate": 0.0, "pad": 0, "tv": 1e-6}
EXAGGERATE = {"steps": 128, "jitter": 8, "scale": 5.0, "rotate": 5.0, "decay": 0.004}
PARTS: Mapping[str, Part] = {
    "maco": Part("MACO", "Preset MACO: free phases under the spectrum of photographs. Filters 0 to 7.",
                 lambda name: image(name, "MACO")),
    "cppn": Part("CPPN", "Preset CPPN: a small network paints each picture. Filters 0 to 7.",
                 lambda name: image(name, "CPPN")),
    "dream": Part("Dream", "Four octaves of ten steps, towards all that the layer sees.", dreams),
    "guided": Part("Guided dream", "The same, towards what the layer sees in another photograph.",
                   lambda name: dreams(name, objective="guide", picture=keep_picture(SHARED / "images" / JAY))),
    "invert": Part("Inversion", "Fourier images in which a layer sees what it sees in the photograph.",
                   lambda name: towards(name, "invert", **INVERT)),
    "caricature": Part("Caricature", "Fourier images in which a layer sees more of what it sees in the photograph.",
                       lambda name: towards(name, "caricature", **EXAGGERATE)),
}  # fmt: skip


def section() -> str:
    """The text, of the parts whose pictures are there."""
    lines = [f"{MARK}\n\n{INTRO}\n"]
    for key, part in PARTS.items():
        for name, layer in NETWORKS.items():
            path = FOLDER / f"{key}-{name}.webp"
            if path.exists():
                model = "SqueezeNet 1.0" if name == "squeezenet" else "imagenette-robust"
                title = f"{part.title}, {model}"
                lines.append(f"### {title}\n\n{part.text} Layer {layer}.\n\n![{title}](gallery/{path.name})\n")
    return "\n".join(lines)


def main(names: list[str]) -> int:
    """Make the parts of these names, such as ``maco`` or ``dream-robust``."""
    if not SQUEEZENET.exists():
        print("the shared weights are not beside the checkout", file=sys.stderr)
        return 1
    for key, part in PARTS.items():
        for name in NETWORKS:
            if not names or key in names or f"{key}-{name}" in names:
                torch.manual_seed(0)
                Image.fromarray(part.make(name)).save(FOLDER / f"{key}-{name}.webp", "WEBP", quality=86, method=6)
                print(f"{key}-{name}", flush=True)
    before = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(f"{before.rstrip()}\n\n{section()}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
