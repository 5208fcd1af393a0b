"""``python -m benchmarks.gallery_generators [PART …]``: docs/gallery-generators.md, part by part.

A part is a method and a painter (``ppgn-faces``); a method alone names those of all painters.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from benchmarks import painters
from benchmarks.pages import DOCS, Made, Make, enlarged, rebuild
from benchmarks.painters import PAINTERS
from vizcore.export import contact_sheet
from vizcore.generate.condition import Classes, Condition, Eyes, Known, Units
from vizcore.generate.generator import Generator, pixels_of
from vizcore.generate.sampler import Sampler
from vizcore.generate.spec import SHORT, walk
from vizcore.generate.walking import spread
from vizcore.look.pictures import Picture

PAGE = DOCS / "gallery-generators.md"
STEPS, SIDE = 200, 72
HEAD = """# Gallery: generators, DGN-AM and PPGN

Chains of codes of `vizcore generate`, and what a generator keeps of a picture.
Made by `python -m benchmarks.gallery_generators`, or a part of it by its name; do not edit. Nothing is chosen by hand.
A chain may end between two classes; its probability says so, and `--above` leaves it out.
What the numbers are: [benchmarks](benchmarks.md#generators). Other pages: [looking](gallery.md),
[dreams, inversion, MACO and CPPN](gallery-dreams.md).
"""


FOREIGN = (
    " No generator of ImageNet's pictures comes with vizcore (the published ones are large downloads): this one paints "
    "32 px and knows the ten classes of CIFAR-10 alone, `--fit resize`."
)

WEAK = " Pixels walk: they reach the class, seldom its look, and are the weakest of the family in the paper, too."


def of(pictures: torch.Tensor) -> list[Picture]:
    """Pictures ``[N, C, H, W]`` in [0, 1] as uint8 ``[H, W, C]`` each."""
    return list((pictures * 255 + 0.5).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())


def chains(generator: Generator, condition: Condition, numbers: Sequence[int], variant: str, known: Known | None = None,
           **values: object) -> tuple[list[Picture], list[str]]:  # fmt: skip
    """The last pictures, and a caption for each."""
    start = None
    way = walk(variant, {"steps": STEPS, **values})
    if known is not None:
        code = generator.encode((known.picture * known.mask + 0.5 * (1 - known.mask))[None])
        assert code is not None
        rows = range(len(numbers))
        start = spread(generator.project(code), generator, way, rows, [row == 0 for row in rows])
    *_, last = Sampler(way, generator, range(len(numbers)), condition, start=start, known=known)
    value = last.activation if bool(last.probability.isnan().all()) else last.probability
    return of(last.pictures), [f"{n}: {float(v):.2f}" for n, v in zip(numbers, value, strict=True)]


def classes(key: str, variant: str) -> Made | None:
    """Chains towards classes."""
    what, generator, network = PAINTERS[key], painters.generator(key), painters.network(key)
    if generator is None:
        return None
    base: Generator = pixels_of(generator) if variant == "ppgn-x" else generator
    each = 1 if key == "squeezenet" else 2
    numbers = [number for _ in range(each) for number in what.classes]
    tiles, captions = chains(base, Classes(Eyes(network, base, what.fit), numbers), numbers, variant)
    names = [network.card.classes[number] for number in what.classes]
    said = "" if names == [str(number) for number in what.classes] else f" Classes: {', '.join(names)}."
    text = f"`--variant {variant}`, {STEPS} steps, `{what.generator}`; under each the class and its probability.{said}"
    text += WEAK if variant == "ppgn-x" else ""
    text += FOREIGN if key == "squeezenet" else ""
    return Made(
        f"{SHORT[variant]}, {what.title}", text, contact_sheet(enlarged(tiles, SIDE), captions, len(what.classes))
    )


def units(key: str) -> Made | None:
    """Chains towards hidden units."""
    what, generator = PAINTERS[key], painters.generator(key)
    if generator is None:
        return None
    numbers = list(range(8 if key == "squeezenet" else 16))
    condition = Units(Eyes(painters.network(key), generator, what.fit), what.units, numbers)
    tiles, captions = chains(generator, condition, numbers, "ppgn")
    text = f"`--unit {what.units}:0-{numbers[-1]}`, with their mean activation."
    text += FOREIGN if key == "squeezenet" else ""
    return Made(f"Hidden units, {what.title}", text, contact_sheet(enlarged(tiles, SIDE), captions, 8))


def kept(key: str) -> Made | None:
    """Test pictures, and what is decoded of their codes."""
    what, generator, data = PAINTERS[key], painters.generator(key), painters.dataset(key)
    if generator is None or data is None or data.test is None:
        return None
    rows = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(1))[:12]
    pictures = data.test.images[rows].float() / 255
    with torch.no_grad():
        again = generator.decode(generator.encode(pictures))
    text = f"Test pictures, and below each what is decoded of its code, {generator.layer} of `{what.model}`."
    sheet = contact_sheet(enlarged([*of(pictures), *of(again)], SIDE), columns=len(rows))
    return Made(f"Encoded and decoded, {what.title}", text, sheet)


def inpainting(key: str) -> Made | None:
    """The lower half of test pictures, painted anew."""
    what, generator, data = PAINTERS[key], painters.generator(key), painters.dataset(key)
    if generator is None or data is None or data.test is None:
        return None
    eyes = Eyes(painters.network(key), generator, what.fit)
    side = generator.image_size[0]
    mask = torch.ones(side, side)
    mask[side // 2 :] = 0
    shown, captions = [], []
    rows = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(2))[:6].tolist()
    for row in rows:
        picture, label = data.test.images[row].float() / 255, int(data.test.labels[row])
        both = [label, label]
        painted, _ = chains(generator, Classes(eyes, both), both, "ppgn", Known(picture, mask), eps4=1.0)
        shown += [*of(torch.stack([picture, picture * mask + 0.5 * (1 - mask)])), *painted]
        captions += [painters.network(key).card.classes[label], "known", "chain 1", "chain 2"]
    text = (
        "`--picture FILE --mask FILE --chains 2`: test pictures, what is known of them, and what two chains painted "
        "for their class; the first begins at the code of what is known, the second beside it."
    )
    return Made(f"Inpainting, {what.title}", text, contact_sheet(enlarged(shown, SIDE), captions, 8))


OWN = ("digits", "faces", "cifar10")  # whose generator paints pictures of their own data
WAYS: Mapping[str, tuple[Callable[[str], Made | None], Sequence[str]]] = {
    "decoded": (kept, OWN),
    **{name: (partial(classes, variant=name), tuple(PAINTERS)) for name in SHORT if name != "joint"},
    "units": (units, tuple(PAINTERS)),
    "inpainting": (inpainting, OWN),
}
PARTS: Mapping[str, Make] = {f"{way}-{key}": partial(make, key) for way, (make, keys) in WAYS.items() for key in keys}


def main(names: list[str]) -> int:
    """Make the parts of these names, such as ``units`` or ``ppgn-faces``."""
    torch.set_num_threads(1)
    return rebuild(PAGE, HEAD, PARTS, names, quality=88)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
