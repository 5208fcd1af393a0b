"""``python -m benchmarks.generate``: the digits generator, its chains, and the ruler; writes its part of the pages.

Needs MNIST in ``data/mnist`` of the shared folder.  The network that judges is trained here, on its own, in seconds.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from benchmarks.render import SHARED
from benchmarks.report import HERE, Result, machine, place, replace
from vizcore import ruler
from vizcore.cli.score import COLUMNS, table
from vizcore.export import contact_sheet
from vizcore.generate import files
from vizcore.generate.condition import Classes, Eyes
from vizcore.generate.generator import Generator
from vizcore.generate.sampler import Sampler
from vizcore.generate.spec import walk
from vizcore.look import display
from vizcore.train.data import Dataset, open_dataset
from vizcore.zoo.architectures import build
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network, load

GALLERY = HERE.parent / "docs" / "gallery"
OPTIONS = {"classes": 10, "channels": 1, "filters": [12, 24], "units": [48], "dropout": 0.0}
SEEDS, STEPS, DIGITS = 3, 200, tuple(range(10))
PART = "generators"


def independent(dataset: Dataset, steps: int = 500) -> tuple[Network, float]:
    """A network of another architecture, trained from another seed, and its accuracy on 2,000 test pictures."""
    torch.manual_seed(1234)
    digits = load("digits").card
    module = build("cnn", OPTIONS)
    optimizer = torch.optim.AdamW(module.parameters(), 4e-3)
    part = dataset.train
    assert part is not None
    assert dataset.test is not None
    rng = torch.Generator().manual_seed(1234)

    def see(pictures: torch.Tensor) -> torch.Tensor:
        return (pictures.float() / 255 - digits.mean[0]) / digits.std[0]

    for step in range(steps):
        rows = torch.randint(0, len(part), (64,), generator=rng)
        loss = F.cross_entropy(module(see(part.images[rows])), part.labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.param_groups[0]["lr"] = 4e-3 * (1 - step / steps)
        optimizer.step()
    names = tuple(str(digit) for digit in DIGITS)
    network = Network(Card("other", "Other", "cnn", OPTIONS, 1, 28, digits.mean, digits.std, names), module)
    pictures, labels = dataset.test.images[:2000], dataset.test.labels[:2000]
    with torch.no_grad():
        found = torch.cat([network.module(see(x)).argmax(1) for x in pictures.split(250)])
    return network, float((found == labels).float().mean())


def chains(generator: Generator, network: Network, other: Network, name: str) -> tuple[int, int, float]:
    """Of ten digits: how many reached, how many the other network takes for them; CPU seconds of a chain of them."""
    eyes = Eyes(network, generator)
    values = walk(name, {"steps": STEPS})
    began = time.process_time()
    *_, last = Sampler(values, generator, DIGITS, Classes(eyes, DIGITS))
    seconds = (time.process_time() - began) / len(DIGITS)
    with torch.no_grad():
        own, theirs = (n.module(n.normalize(last.pictures)).argmax(1).tolist() for n in (network, other))
    return *(sum(a == b for a, b in zip(found, DIGITS, strict=True)) for found in (own, theirs)), seconds


def main() -> int:
    """Measure and write."""
    data = SHARED / "data" / "mnist"
    if not data.exists():
        print("MNIST is not beside the checkout", file=sys.stderr)
        return 1
    torch.set_num_threads(1)  # networks this small wait longer for threads than they compute
    dataset = open_dataset("mnist", data)
    network, generator = load("digits"), files.load(files.bundled()["digits-generator"])
    other, accuracy = independent(dataset)
    print(f"independent network: {accuracy:.3f}", flush=True)
    card = json.loads((files.bundled()["digits-generator"] / files.CARD).read_text())
    size = (files.bundled()["digits-generator"] / files.WEIGHTS).stat().st_size / 1e6
    results = [
        Result("generator: size", size, "MB", "lower", 3),
        Result("generator: class kept by encode and decode", 100 * card["class_kept"], "%", "higher", 95),
    ]
    for name in ("dgn-am", "ppgn"):
        own, theirs, seconds = chains(generator, network, other, name)
        results += [
            Result(f"{name}: digits of 10 that are reached", own, "", "higher", 10),
            Result(f"{name}: digits of 10 that the other network sees", theirs, "", "higher", 9),
            Result(f"{name}: a chain of 200 steps, of ten in a batch, one thread", seconds, "CPU s", "lower", 0.5),
        ]
    assert dataset.test is not None
    rows = torch.randperm(len(dataset.test), generator=torch.Generator().manual_seed(0))[:5000]
    order = ruler.Order("", DIGITS, ruler.METHODS, SEEDS)
    lengths, tiles = [], []
    for method, pictures, found in ruler.Ruler(network, order, dataset.test.images[rows], generator, other).measure():
        lengths += found
        tiles += list(pictures if method == ruler.REAL else pictures[::SEEDS])
        print(method, round(np.mean([one.nearest for one in found]), 2), flush=True)
    rows_of = {row["method"]: row for row in table(lengths)}
    for name in ("dgn-am", "ppgn"):
        share = 100 * (1 - rows_of[name]["nearest"] / rows_of["pixel"]["nearest"])
        results.append(Result(f"{name}: nearer to real pictures than pixel ascent", share, "%", "higher", 30))
    for result in results:
        print(f"{result.name}: {result.value:.4g} {result.unit} {'' if result.ok is None else result.ok}", flush=True)
    replace(PART, _page(results, list(rows_of.values()), accuracy))
    large = np.stack([display.enlarge(np.repeat(tile, 3, 2), 56) for tile in tiles])
    names = [ruler.REAL, *ruler.METHODS]
    captions = [f"{name} {digit}" for name in names for digit in DIGITS]
    GALLERY.mkdir(exist_ok=True)
    sheet = contact_sheet(large, captions, len(DIGITS))
    Image.fromarray(sheet).save(GALLERY / "generators-ruler.webp", "WEBP", quality=90, method=6)
    return 0


def _page(results: list[Result], rows: list[dict[str, float | None]], accuracy: float) -> str:
    lines = [
        "## Generators\n",
        f"`python -m benchmarks.generate`, on {place(machine())}: `digits`, `digits-generator`, and as another network "
        f"one that was trained from another seed and architecture (accuracy {accuracy:.1%}).\n",
        "| what | value | target | met |", "|---|---|---|---|",
    ]  # fmt: skip
    for one in results:
        sign = {"higher": "≥", "lower": "≤"}[one.better]
        cells = (
            one.name,
            f"{one.value:.3g} {one.unit}",
            f"{sign} {one.target:g} {one.unit}",
            "yes" if one.ok else "no",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        f"\nThe ruler (`vizcore score`): means over ten digits and {SEEDS} seeds ± deviation over digits, against "
        "5,000 test pictures of MNIST. *activation* is over the highest of real pictures, *held out* what stays of it "
        "under moves that no ascent made, *transfer* the probability that the other network gives, *nearest* the L2 "
        "distance to the nearest real picture, *spectrum* that of log radial power; seconds are of one "
        "picture, and other work went on beside.\n",
        "| method | " + " | ".join(name.replace("_", " ") for name in COLUMNS) + " |",
        "|" + "---|" * (len(COLUMNS) + 1),
    ]  # fmt: skip
    for row in rows:
        numbers = ["" if row[c] is None else f"{row[c]:.2f} ± {row[f'{c}_sd']:.2f}" for c in COLUMNS[:-1]]
        numbers.append(f"{row['seconds']:.2f}" if row["seconds"] else "")
        lines.append(f"| {row['method']} | " + " | ".join(numbers) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
