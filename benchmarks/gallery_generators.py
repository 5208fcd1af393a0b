"""``python -m benchmarks.gallery_generators``: the generators' part of docs/gallery.md, between its markers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.gallery import FOLDER, PAGE
from benchmarks.render import SHARED
from vizcore.export import contact_sheet
from vizcore.generate import files
from vizcore.generate.condition import Classes, Condition, Eyes, Known, Units
from vizcore.generate.generator import Generator, pixels_of
from vizcore.generate.sampler import Sampler
from vizcore.generate.spec import SHORT, walk
from vizcore.look import display
from vizcore.train.data import open_dataset
from vizcore.zoo.load import load

BEGIN, END = "<!-- generators -->", "<!-- /generators -->"
DIGITS, CHAINS, SIDE = tuple(range(10)), 2, 64
HEAD = """## Generators: DGN-AM and PPGN

Made by `python -m benchmarks.gallery_generators` and `python -m benchmarks.generate`, with `digits` and the bundled
`digits-generator`. A chain may end between two digits, as one of the sixes of PPGN does: its probability says so, and
`--above` leaves it out."""


def tiles(pictures: torch.Tensor) -> np.ndarray:
    """Pictures ``[N, 1, H, W]`` in [0, 1], enlarged, as uint8 ``[N, SIDE, SIDE, 3]``."""
    grey = (pictures * 255 + 0.5).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    return np.stack([display.enlarge(np.repeat(picture, 3, 2), SIDE) for picture in grey])


def chains(generator: Generator, condition: Condition, numbers: list[int], variant: str, known: Known | None = None,
           **values: object) -> tuple[torch.Tensor, list[str]]:  # fmt: skip
    """The last pictures, and a caption for each."""
    start = None
    if known is not None:
        code = generator.encode((known.picture * known.mask + 0.5 * (1 - known.mask))[None])
        assert code is not None
        start = generator.project(code).expand(len(numbers), *code.shape[1:]).clone()
    *_, last = Sampler(walk(variant, values), generator, range(len(numbers)), condition, start=start, known=known)
    value = last.activation if bool(last.probability.isnan().all()) else last.probability
    return last.pictures, [f"{n}: {float(v):.2f}" for n, v in zip(numbers, value, strict=True)]


def save(name: str, sheet: np.ndarray, title: str, text: str) -> str:
    """Write a picture; the lines that show it."""
    Image.fromarray(sheet).save(FOLDER / f"generators-{name}.webp", "WEBP", quality=90, method=6)
    return f"### {title}\n\n{text}\n\n![{title}](gallery/generators-{name}.webp)"


def main() -> int:
    """Write the part and its pictures."""
    network, generator = load("digits"), files.load(files.bundled()["digits-generator"])
    eyes = Eyes(network, generator)
    FOLDER.mkdir(exist_ok=True)
    parts = [HEAD]
    numbers = [digit for digit in DIGITS for _ in range(CHAINS)]
    for short, name in SHORT.items():
        if name == "joint PPGN-h":
            continue  # it needs a generator that was trained with noise
        base = pixels_of(generator) if name == "PPGN-x" else generator
        pictures, captions = chains(base, Classes(Eyes(network, base), numbers), numbers, short)
        text = f"`--variant {short}`, 200 steps; under each the class and its probability."
        parts.append(save(short, contact_sheet(tiles(pictures), captions, 10), name, text))
    units = list(range(16))
    pictures, captions = chains(generator, Units(eyes, "relu2", units), units, "ppgn")
    parts.append(save("units", contact_sheet(tiles(pictures), captions, 8), "Hidden units",
                      "`--unit relu2:0-15`, with their mean activation."))  # fmt: skip
    data = SHARED / "data" / "mnist"
    if data.exists():
        parts.append(inpainted(generator, eyes, data))
    ruler = FOLDER / "generators-ruler.webp"
    if ruler.exists():
        text = "The pictures that the ruler measures ([benchmarks](benchmarks.md)): one seed of each method."
        parts.append(f"### The ruler\n\n{text}\n\n![The ruler](gallery/{ruler.name})")
    page = PAGE.read_text(encoding="utf-8")
    if BEGIN not in page:
        head, first, rest = page.partition("\n## ")
        page = f"{head}\n{BEGIN}\n{END}\n{first}{rest}"
    head, rest = page.split(BEGIN, 1)
    PAGE.write_text(head + BEGIN + "\n" + "\n\n".join(parts) + "\n" + END + rest.split(END, 1)[1], encoding="utf-8")
    return 0


def inpainted(generator: Generator, eyes: Eyes, data: Path) -> str:
    """The lower half of test pictures, painted anew."""
    test = open_dataset("mnist", data).test
    assert test is not None
    mask = torch.ones(28, 28)
    mask[14:] = 0
    shown, captions = [], []
    for row in (0, 1, 2, 4, 7):
        picture = test.images[row].float() / 255
        label = int(test.labels[row])
        known = Known(picture, mask)
        painted, _ = chains(generator, Classes(eyes, [label]), [label], "ppgn", known, eps4=1.0)
        shown += [picture, picture * mask + 0.5 * (1 - mask), painted[0]]
        captions += [f"{label}", "known", "painted"]
    sheet = contact_sheet(tiles(torch.stack(shown)), captions, 6)
    text = "`--picture FILE --mask FILE`: test pictures, what is known of them, and what was painted for their class."
    return save("inpainting", sheet, "Inpainting", text)


if __name__ == "__main__":
    sys.exit(main())
