"""``python -m benchmarks.gallery [PART …]``: docs/gallery.md, the pictures of every method of looking, part by part.

A part is named by its key (``attribution-gradcam``) or by how several begin (``attribution``).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache, partial

import numpy as np
import torch

from benchmarks.pages import DOCS, Made, Make, rebuild
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

PAGE = DOCS / "gallery.md"
DOG, JAGUAR, BOAT, HAT = (f"ILSVRC2012_val_000{n}.jpg" for n in ("08338", "00610", "16655", "29739"))
LAYER = "features.7"
HEAD = """# Gallery

What `vizcore look`, `top` and `weights` show, with SqueezeNet 1.0 trained on ImageNet.
Made by `python -m benchmarks.gallery`, or a part of it by its name; do not edit.
The photographs are of the ILSVRC-2012 validation set (the examples of the Deep Visualization Toolbox).
Other pages: [dreams, inversion, MACO and CPPN](gallery-dreams.md), [generators](gallery-generators.md).
"""


@cache
def network() -> Network:
    """The shared SqueezeNet."""
    return load(str(SQUEEZENET), "squeezenet1_0")


@cache
def photograph(name: str = DOG) -> Picture:
    """One of the shared photographs."""
    return read(SHARED / "images" / name)


@cache
def top() -> Unit:
    """The class of the dog."""
    return compare.strongest(network(), photograph(), "")


def attribution(key: str) -> Made:
    """One way back to the pixels of the dog."""
    net, dog, method = network(), photograph(), METHODS[key]
    name, share = classes_of(net, dog)[0]
    unit = Unit("classifier.1", top().channel) if key == "deconv" else top()  # spread over all positions, it dies here
    found = attribute(net, dog, unit, key)
    facts = "; ".join(f"{fact.replace('_', ' ')} {value:.3g}" for fact, value in found.facts.items()
                      if isinstance(value, float) and fact != "seed")  # fmt: skip
    caught = f" {found.intercepted} rectifiers were caught." if found.intercepted is not None else ""
    where = ", from the strongest position of its map" if unit.layer else ""
    text = f"{method.help} {method.paper}. Class {name} ({share:.1%}){where}.{caught}{f' ({facts})' if facts else ''}"
    return Made(f"{method.label} (`{key}`)", text, sheets.attribution(found))


def maps(mode: display.MapMode | None) -> Made:
    """Activations in a mode; without one, of a deeper layer."""
    text = "All channels of a layer, the strongest first; the number under each is the channel. "
    layer = "features.0" if mode else LAYER
    seen = Looker(network(), layer, classes=False, precision="fp32").look(photograph())
    if mode is None:
        return Made("Activations of a deeper layer", text + f"{LAYER}.", sheets.activations(seen, most=64))
    return Made(f"Activations, {mode}", text + "First convolution.", sheets.activations(seen, mode, most=32))


def glance() -> Made:
    """The strip."""
    picture = sheets.strip(strip(network(), photograph()))
    return Made("All layers at a glance", "Mean magnitude of every layer (`strip`).", picture)


def filter_of(name: str) -> Made:
    """The strongest filter of a middle layer, carried back from a photograph."""
    picture = photograph(name)
    unit = compare.strongest(network(), picture, LAYER)
    found = attribute(network(), picture, unit, "deconv")
    return Made(f"Deconvnet of {LAYER}, filter {unit.channel}", "The strongest filter.", sheets.attribution(found))


def sanity() -> Made:
    """Cascading randomisation as a table."""
    lines, head = [], ""
    for key in ("saliency", "gradcam", "guided", "input-gradient"):
        points = list(cascade(network(), photograph(), top(), key, most=5))
        head = "| method | " + " | ".join(point.layer or "trained" for point in points) + " |"
        lines.append(f"| {METHODS[key].label} | " + " | ".join(f"{point.absolute:.2f}" for point in points) + " |")
    rule = "|" + "---|" * (len(head.split("|")) - 2)
    text = (
        "Rank correlation with the first map, while layers get random weights from the top down (Adebayo et al. 2018)."
    )
    return Made("Sanity check", text, "\n".join([head, rule, *lines]))


@cache
def tally() -> tuple[Tally, list[int]]:
    """A pass over Imagenette, and three filters of it: of the strongest, a middle and a weaker one of seven."""
    made = Tally(network(), collect(SHARED / "data" / "imagenette80.zip", "/test/"), LAYER)
    record = made.run()
    return made, np.argsort(-record.values[:, 8])[[0, 3, 6]].tolist()


def strongest(rank: int) -> Made:
    """The nine most exciting patches of a filter."""
    found, channels = tally()
    channel = channels[rank]
    text = f"Over {len(found.collection):,} pictures of Imagenette (80 px, at 224), with activation and class."
    return Made(f"Top patches of {LAYER}, filter {channel}", text, sheets.patches(patches(found, channel)))


def first_kernels() -> Made:
    """Weights as pictures."""
    tiles = np.stack([display.enlarge(t, 56) for t in weights.pictures(weights.kernels(network(), "features.0"))])
    return Made("Kernels of the first layer", "One scale for all, grey is 0.", contact_sheet(tiles, columns=16))


def matrix() -> Made:
    """Weights as a matrix."""
    found = weights.matrix(weights.kernels(network(), "features.3.expand3x3")[:16, :16])
    text = "16 filters (rows) by 16 inputs of features.3.expand3x3; blue below 0, orange above."
    return Made("Kernels of a deeper layer", text, display.enlarge(found, 8 * max(found.shape)))


def projection() -> Made:
    """Maps through weights alone."""
    planes = [weights.projection(network(), LAYER, channel, photograph()) for channel in range(8)]
    tiles = np.stack([display.relevance(plane) for plane in planes])
    text = f"Whole maps of {LAYER}, filters 0 to 7, through transposed weights alone."
    return Made("Feature-map projection", text, contact_sheet(tiles, columns=4))


def beside(depth: str) -> Made:
    """Two networks."""
    method = "guided" if depth == "class" else "deconv"  # a deconvnet's signal dies on SqueezeNet's way from a class
    columns = compare.side_by_side([network(), load("imagenette-robust")], photograph(), method, depth)
    panes = [("picture", central(photograph()))]
    panes += [(f"{c.model}, {c.unit.layer if c.unit else ''} {c.unit.channel if c.unit else ''}",
               display.relevance(c.attribution.values)) for c in columns if c.attribution]  # fmt: skip
    text = f"{METHODS[method].label} of the strongest unit of two networks."
    return Made(f"Side by side, {depth}", text, sheets.beside(panes))


def central(picture: Picture) -> Picture:
    """The central square of a photograph."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return picture[top : top + side, left : left + side]


PARTS: Mapping[str, Make] = {
    **{f"activations-{mode}": partial(maps, mode) for mode in display.MAP_MODES},
    "activations-deep": partial(maps, None), "strip": glance,
    **{f"attribution-{key}": partial(attribution, key) for key in METHODS},
    **{f"filter-{name}": partial(filter_of, file) for name, file in
       (("jaguar", JAGUAR), ("boat", BOAT), ("hat", HAT))},
    "sanity": sanity, **{f"patches-{rank}": partial(strongest, rank) for rank in range(3)},
    "kernels-first": first_kernels, "kernels-deep": matrix, "projection": projection,
    **{f"beside-{depth}": partial(beside, depth) for depth in ("first", "class")},
}  # fmt: skip


def main(names: list[str]) -> int:
    """Write the page and its pictures."""
    if not SQUEEZENET.exists():
        print("the shared weights are not beside the checkout", file=sys.stderr)
        return 1
    torch.set_num_threads(2)
    return rebuild(PAGE, HEAD, PARTS, names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
