"""What generators are measured and shown with: for each set of pictures a network, a generator, and a judge.

The judge is a network of another architecture that is trained here, from another seed, once; its weights are kept in
the user's cache folder.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from benchmarks.peers.environments import CACHE
from benchmarks.render import SHARED
from benchmarks.step import SQUEEZENET
from vizcore.generate import files
from vizcore.generate.generator import Autoencoder
from vizcore.look.pictures import fit, read
from vizcore.train.data import Dataset, Part, open_dataset
from vizcore.zoo.architectures import build
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network, load

OUT = Path(__file__).parent / "out"  # where generators lie that are not bundled
SEED = 1234


@dataclass(frozen=True)
class Painter:
    """A network whose classes and units are painted.

    Args:
        generator: bundled, or a folder of this name in ``benchmarks/out``.
        data: a data set, and where it lies in the shared folder's ``data``.
        units: a layer whose first filters are painted, too.
        fit: how pictures are fitted to the network.
        judge: options of the ``cnn`` that judges, and ``steps`` of its training; none where there is no judge.
        flip: whether a mirrored picture is of the same class.
    """

    title: str
    model: str
    generator: str
    data: tuple[str, str]
    units: str
    fit: str = "exact"
    judge: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 800
    flip: bool = False
    classes: tuple[int, ...] = tuple(range(10))


PAINTERS = {
    "digits": Painter("digits", "digits", "digits-generator", ("mnist", "mnist"), "relu2",
                      judge={"filters": [12, 24], "units": [48], "grid": 3}),
    "faces": Painter("faces", "faces", "faces-generator", ("fer2013", "fer2013.zip"), "block2",
                     judge={"filters": [24, 48, 96], "units": [64], "grid": 3}, steps=800, flip=True,
                     classes=tuple(range(7))),
    "cifar10": Painter("CIFAR-10", "cifar10", "cifar10-generator", ("cifar10", "cifar10.zip"), "block2",
                       judge={"filters": [32, 64, 128], "units": [64], "grid": 2}, steps=1000, flip=True),
    "squeezenet": Painter("SqueezeNet 1.0", str(SQUEEZENET), "cifar10-generator", ("imagenette80.zip", ""),
                          "features.7", fit="resize", classes=(207, 404, 817, 555, 569, 94, 340, 30)),
}  # fmt: skip


@cache
def network(key: str) -> Network:
    """That of a painter."""
    return load(str(SQUEEZENET), "squeezenet1_0") if key == "squeezenet" else load(PAINTERS[key].model)


@cache
def generator(key: str) -> Autoencoder | None:
    """The generator of a painter; None where there is none."""
    name = PAINTERS[key].generator
    folder = files.bundled().get(name, OUT / name)
    return files.load(folder) if (folder / files.CARD).is_file() else None


@cache
def dataset(key: str) -> Dataset | None:
    """The pictures of a painter; None where they are not beside the checkout."""
    name, file = PAINTERS[key].data
    path = SHARED / "data" / (file or name)
    if not path.exists():
        return None
    return (
        open_dataset(name, path) if file else Dataset(name, (), None, test=_photographs(path, network(key).card.size))
    )


def _photographs(path: Path, size: int, count: int = 200) -> Part:
    """Some of the test pictures of class folders in a zip: all of them at this size would fill the memory."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if "/test/" in name and name.endswith(".jpg"))
        chosen = [names[row] for row in np.linspace(0, len(names) - 1, count).astype(int)]
        images = np.stack([fit(read(archive.read(name)), size) for name in chosen])
    return Part(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.zeros(count, dtype=torch.long))


@cache
def judge(key: str) -> tuple[Network, float] | None:
    """Another network of the same classes, and its accuracy on the test pictures; None where there is none."""
    what, data = PAINTERS[key], dataset(key)
    if not what.judge or data is None:
        return None
    own = network(key).card
    options = {"classes": len(own.classes), "channels": own.channels, "dropout": 0.0, **what.judge}
    path = CACHE / "judges" / f"{key}.safetensors"
    notes, made = path.with_suffix(".json"), {"options": options, "steps": what.steps, "seed": SEED}
    module = build("cnn", options)
    card = Card("judge", "Judge", "cnn", options, own.channels, own.size, own.mean, own.std, own.classes)
    if path.exists() and notes.exists() and json.loads(notes.read_text())["made"] == made:
        module.load_state_dict(load_file(path))
        return Network(card, module), float(json.loads(notes.read_text())["accuracy"])
    torch.manual_seed(SEED)
    module = build("cnn", options)
    _train(module, card, data, what)
    found = Network(card, module)
    assert data.test is not None
    with torch.no_grad():
        right = [int((found.module(found.normalize(x.float() / 255)).argmax(1) == y).sum())
                 for x, y in zip(data.test.images.split(250), data.test.labels.split(250), strict=True)]  # fmt: skip
    accuracy = sum(right) / len(data.test)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(module.state_dict(), path)
    notes.write_text(json.dumps({"made": made, "accuracy": accuracy}))
    return found, accuracy


def _train(module: torch.nn.Module, card: Card, data: Dataset, what: Painter) -> None:
    part = data.train
    assert part is not None
    mean, std = (torch.tensor(values)[:, None, None] for values in (card.mean, card.std))
    optimizer = torch.optim.AdamW(module.parameters(), 4e-3)
    rng = torch.Generator().manual_seed(SEED)
    module.train()
    for step in range(what.steps):
        rows = torch.randint(0, len(part), (64,), generator=rng)
        x = (part.images[rows].float() / 255 - mean) / std
        if what.flip and float(torch.rand((), generator=rng)) < 0.5:
            x = x.flip(3)
        with torch.autocast("cpu", torch.bfloat16):
            found = module(x)
        loss = F.cross_entropy(found.float(), part.labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.param_groups[0]["lr"] = 4e-3 * (1 - step / what.steps)
        optimizer.step()
