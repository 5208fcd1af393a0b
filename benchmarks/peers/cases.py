"""What is compared: a layer of a network, some of its filters, at a size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import CACHE
from benchmarks.render import SHARED

SEED = 0  # of random weights
# torchvision begins these with weights through which a signal fades, in GoogLeNet to 1e-13: all units would be off.
FADING = ("googlenet", "alexnet")
SQUEEZENET = SHARED / "weights" / "squeezenet1_0-imagenet.safetensors"

# Early, middle and late layer of each architecture.
LAYERS = {
    "squeezenet1_0": ("features.3", "features.7", "features.12"),
    "resnet50": ("layer1.2", "layer2.3", "layer4.2"),
    "vgg16": ("features.8", "features.15", "features.29"),
    "googlenet": ("conv3", "inception4a", "inception5b"),
    "alexnet": ("features.4", "features.7", "features.11"),
}
TITLES = {
    "squeezenet1_0": "SqueezeNet 1.0", "resnet50": "ResNet-50", "vgg16": "VGG-16", "googlenet": "GoogLeNet",
    "alexnet": "AlexNet",
}  # fmt: skip
CELLS = [
    (arch, layer, count, size) for arch, layers in LAYERS.items() for layer in layers for size in (128, 224)
    for count in (1, 16)
]  # fmt: skip
TARGETS = (("squeezenet1_0", "features.7"), ("resnet50", "layer2.3"))
AIMED = [(arch, layer, count, 224) for arch, layer in TARGETS for count in (1, 16)]


@dataclass(frozen=True)
class Case:
    """One cell of the comparison; ``weights`` is a file of the state dict that every tool loads."""

    arch: str
    layer: str
    channels: tuple[int, ...]
    size: int
    weights: str

    @property
    def title(self) -> str:
        """``"ResNet-50 layer2.3, 16 × 224 px"``."""
        return title_of(self.arch, self.layer, len(self.channels), self.size)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def title_of(arch: str, layer: str, count: int, size: int) -> str:
    """The title of a case."""
    return f"{TITLES[arch]} {layer}, {count} × {size} px"


def weights(arch: str) -> Path | None:
    """The state dict of an architecture: SqueezeNet's trained one, random for the others (He et al. initialise them).

    None where the trained weights are not beside the checkout.
    """
    if arch == "squeezenet1_0":
        return SQUEEZENET if SQUEEZENET.exists() else None
    path = CACHE / "weights" / f"{arch}-{'he' if arch in FADING else 'random'}-{SEED}.safetensors"
    if not path.exists():
        import torch
        from safetensors.torch import save_file
        from torch import nn

        from vizcore.zoo.load import load

        module = load(arch, weights="random", seed=SEED).module
        if arch in FADING:
            generator = torch.Generator().manual_seed(SEED)
            for part in module.modules():
                if isinstance(part, nn.Conv2d):
                    nn.init.kaiming_normal_(part.weight, nonlinearity="relu", generator=generator)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        save_file({name: value.contiguous() for name, value in module.state_dict().items()}, beside)
        beside.replace(path)
    return path


def case(arch: str, layer: str, count: int, size: int) -> Case | None:
    """The first ``count`` filters of a layer, one: number 3; None where the weights are missing."""
    file = weights(arch)
    channels = (3,) if count == 1 else tuple(range(count))
    return None if file is None else Case(arch, layer, channels, size, str(file))


def cases(full: bool) -> Iterator[Case]:
    """The two target layers with 1 and 16 filters at 224 px; ``full``: every architecture, layer, count and size."""
    for arch, layer, count, size in CELLS if full else AIMED:
        found = case(arch, layer, count, size)
        if found is None:
            print(f"peers: {TITLES[arch]} is left out, its weights are not beside the checkout")
        else:
            yield found
