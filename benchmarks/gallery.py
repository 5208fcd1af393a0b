"""``python -m benchmarks.gallery``: the pictures of docs/gallery.md, by every method of looking."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.gallery_dreams import MARK
from benchmarks.render import SHARED
from benchmarks.step import SQUEEZENET
from vizcore.export import contact_sheet
from vizcore.look import compare, display, sheets, weights
from vizcore.look.activations import Looker, classes_of, strip
from vizcore.look.attribution import METHODS, attribute
from vizcore.look.collections import collect
from vizcore.look.patches import patches
from vizcore.look.pictures import Picture, read
from vizcore.look.sanity import cascade
from vizcore.look.tally import Tally
from vizcore.look.units import Unit
from vizcore.zoo.load import Network, load

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
FOLDER = PAGE.with_suffix("")
DOG, JAGUAR, BOAT, HAT = (f"ILSVRC2012_val_000{n}.jpg" for n in ("08338", "00610", "16655", "29739"))
LAYER = "features.7"
HEAD = """# Gallery

What `vizcore look`, `top` and `weights` show, with SqueezeNet 1.0 trained on ImageNet.
Made by `python -m benchmarks.gallery`; do not edit.
The photographs are of the ILSVRC-2012 validation set (the examples of the Deep Visualization Toolbox).
"""


def photograph(name: str) -> Picture:
    """One of the shared photographs."""
    return read(SHARED / "images" / name)


def parts(network: Network) -> Iterator[tuple[str, str, Picture | str]]:
    """Title, text, and a picture or a table."""
    dog = photograph(DOG)
    top = compare.strongest(network, dog, "")
    name, share = classes_of(network, dog)[0]
    yield from maps(network, dog)
    for key, method in METHODS.items():
        unit = Unit("classifier.1", top.channel) if key == "deconv" else top  # spread over all positions, it dies here
        found = attribute(network, dog, unit, key)
        facts = "; ".join(f"{fact.replace('_', ' ')} {value:.3g}" for fact, value in found.facts.items()
                          if isinstance(value, float) and fact != "seed")  # fmt: skip
        caught = f" {found.intercepted} rectifiers were caught." if found.intercepted is not None else ""
        where = ", from the strongest position of its map" if unit.layer else ""
        text = (
            f"{method.help} {method.paper}. Class {name} ({share:.1%}){where}.{caught}{f' ({facts})' if facts else ''}"
        )
        yield f"{method.label} (`{key}`)", text, sheets.attribution(found)
    yield from units(network)
    yield from sanity(network, dog, top)
    yield from tops(network)
    yield from kernels(network, dog)
    others = [network, load("imagenette-robust")]
    for depth in ("first", "class"):
        columns = compare.side_by_side(others, dog, "deconv", depth)
        panes = [("picture", compare_pane(dog))]
        panes += [(f"{c.model}, {c.unit.layer if c.unit else ''} {c.unit.channel if c.unit else ''}",
                   display.relevance(c.attribution.values)) for c in columns if c.attribution]  # fmt: skip
        yield f"Side by side, {depth}", "Deconvnet of the strongest unit of two networks.", sheets.beside(panes)


def compare_pane(picture: Picture) -> Picture:
    """The central square of a photograph."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return picture[top : top + side, left : left + side]


def maps(network: Network, picture: Picture) -> Iterator[tuple[str, str, Picture]]:
    """Activations in each mode, and the strip."""
    first = Looker(network, "features.0", classes=False, precision="fp32").look(picture)
    text = "All channels of a layer, the strongest first; the number under each is the channel. "
    for mode in display.MAP_MODES:
        yield f"Activations, {mode}", text + "First convolution.", sheets.activations(first, mode, most=32)
    later = Looker(network, LAYER, classes=False, precision="fp32").look(picture)
    yield "Activations of a deeper layer", text + f"{LAYER}.", sheets.activations(later, most=64)
    yield "All layers at a glance", "Mean magnitude of every layer (`strip`).", sheets.strip(strip(network, picture))


def units(network: Network) -> Iterator[tuple[str, str, Picture]]:
    """The strongest filter of a middle layer, carried back from several photographs."""
    for name in (JAGUAR, BOAT, HAT):
        picture = photograph(name)
        unit = compare.strongest(network, picture, LAYER)
        found = attribute(network, picture, unit, "deconv")
        yield f"Deconvnet of {LAYER}, filter {unit.channel}", "The strongest filter.", sheets.attribution(found)


def sanity(network: Network, picture: Picture, unit: Unit) -> Iterator[tuple[str, str, str]]:
    """Cascading randomisation as a table."""
    lines, head = [], ""
    for key in ("saliency", "gradcam", "guided", "input-gradient"):
        points = list(cascade(network, picture, unit, key, most=5))
        head = "| method | " + " | ".join(point.layer or "trained" for point in points) + " |"
        lines.append(f"| {METHODS[key].label} | " + " | ".join(f"{point.absolute:.2f}" for point in points) + " |")
    rule = "|" + "---|" * (len(head.split("|")) - 2)
    text = (
        "Rank correlation with the first map, while layers get random weights from the top down (Adebayo et al. 2018)."
    )
    yield "Sanity check", text, "\n".join([head, rule, *lines])


def tops(network: Network) -> Iterator[tuple[str, str, Picture]]:
    """The nine most exciting patches of a few filters, over Imagenette."""
    data = SHARED / "data" / "imagenette80.zip"
    tally = Tally(network, collect(data, "/test/"), LAYER)
    record = tally.run()
    strong = np.argsort(-record.values[:, 8])[[0, 3, 6]]
    for channel in strong.tolist():
        text = f"Over {len(tally.collection):,} pictures of Imagenette (80 px, at 224), with activation and class."
        yield f"Top patches of {LAYER}, filter {channel}", text, sheets.patches(patches(tally, channel))


def kernels(network: Network, picture: Picture) -> Iterator[tuple[str, str, Picture]]:
    """Weights as pictures and as a matrix, and a projection through them."""
    values = weights.kernels(network, "features.0")
    tiles = np.stack([display.enlarge(tile, 56) for tile in weights.pictures(values)])
    yield "Kernels of the first layer", "One scale for all, grey is 0.", contact_sheet(tiles, columns=16)
    matrix = weights.matrix(weights.kernels(network, "features.3.expand3x3")[:16, :16])
    text = "16 filters (rows) by 16 inputs of features.3.expand3x3; blue below 0, orange above."
    yield "Kernels of a deeper layer", text, display.enlarge(matrix, 8 * max(matrix.shape))
    planes = np.stack([weights.projection(network, LAYER, channel, picture) for channel in range(8)])
    tiles = np.stack([display.relevance(plane) for plane in planes])
    text = f"Whole maps of {LAYER}, filters 0 to 7, through transposed weights alone."
    yield "Feature-map projection", text, contact_sheet(tiles, columns=4)


def main() -> int:
    """Write the page and its pictures."""
    if not SQUEEZENET.exists():
        print("the shared weights are not beside the checkout", file=sys.stderr)
        return 1
    torch.set_num_threads(2)
    network = load(str(SQUEEZENET), "squeezenet1_0")
    FOLDER.mkdir(exist_ok=True)
    lines = [HEAD]
    for number, (title, text, what) in enumerate(parts(network)):
        lines.append(f"## {title}\n\n{text}\n")
        if isinstance(what, str):
            lines.append(what + "\n")
        else:
            path = FOLDER / f"{number:02}.webp"
            Image.fromarray(what).save(path, "WEBP", quality=86, method=6)
            lines.append(f"![{title}](gallery/{path.name})\n")
        print(title, flush=True)
    rest = PAGE.read_text(encoding="utf-8").partition(MARK)[2] if PAGE.exists() else ""  # benchmarks.gallery_dreams
    PAGE.write_text("\n".join([*lines, f"{MARK}{rest}"] if rest else lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
