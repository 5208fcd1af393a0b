"""Generators of others, from the files in which they are published.

DeePSiM (Dosovitskiy & Brox 2016), as the PyTorch ports name its layers: ``defc7.weight``, or ``defc7.1.weight``, with
or without ``G.`` before it.  Pictures are BGR with the mean of ImageNet taken off, 256 px.  TAESD (O. Bohan) comes
through diffusers.  Both were tested on random weights in this layout; the weights themselves were not at hand.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vizcore.errors import GeneratorError
from vizcore.generate.generator import CodeStats, Generator, unmeasured
from vizcore.zoo.weights import read_state

BGR_MEAN = (104.0, 117.0, 123.0)
SLOPE = 0.3
# Of fc6 of CaffeNet, whose ranges DGN-AM publishes unit by unit: mean 11.85, highest 17 (act_range/3x/fc6.txt).
FC_UPPER, FC_STD = 12.0, 3.0
_DENSE = {"fc6": 4096, "fc7": 4096, "fc8": 1000}
NETS = (*_DENSE, "pool5")


def _activated(parts: OrderedDict[str, nn.Module], name: str, module: nn.Module, relu: str) -> None:
    parts[name] = module
    parts[relu] = nn.LeakyReLU(SLOPE)


def layers(net: str, width: float = 1.0) -> nn.Sequential:
    """The layers of a DeePSiM generator under their published names.

    Args:
        width: a share of the published widths, for tests; codes keep their shape.

    Raises:
        GeneratorError: an unknown net.
    """
    if net not in NETS:
        raise GeneratorError(f"There is no DeePSiM generator {net[:20]!r}.", f"Use {', '.join(NETS)}.")

    def share(channels: int) -> int:
        return max(1, round(channels * width))

    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if net == "pool5":
        _activated(parts, "Rconv6", nn.Conv2d(256, share(512), 3, 1, 1), "Rrelu6")
        _activated(parts, "Rconv7", nn.Conv2d(share(512), share(512), 3, 1, 1), "Rrelu7")
        _activated(parts, "Rconv8", nn.Conv2d(share(512), share(512), 3), "Rrelu8")
        first = share(512)
    else:
        before = _DENSE[net]
        first = share(256)
        for number, after in ((7, share(4096)), (6, share(4096)), (5, first * 16)):
            _activated(parts, f"defc{number}", nn.Linear(before, after), f"relu_defc{number}")
            before = after
        parts["reshape"] = nn.Unflatten(1, (first, 4, 4))
    plan = (
        ("deconv5", first, share(256), 4), ("conv5_1", share(256), share(512), 3),
        ("deconv4", share(512), share(256), 4),
        ("conv4_1", share(256), share(256), 3), ("deconv3", share(256), share(128), 4),
        ("conv3_1", share(128), share(128), 3), ("deconv2", share(128), share(64), 4),
        ("deconv1", share(64), share(32), 4),
    )  # fmt: skip
    for name, before, after, kernel in plan:
        step = 2 if kernel == 4 else 1
        _activated(parts, name, nn.ConvTranspose2d(before, after, kernel, step, 1), f"relu_{name}")
    parts["deconv0"] = nn.ConvTranspose2d(share(32), 3, 4, 2, 1)
    return nn.Sequential(parts)


class DeePSiM(Generator):
    """A generator of Dosovitskiy & Brox 2016; without its encoder, CaffeNet, which torchvision does not have."""

    licence = "Freiburg: research only; commercial use requires consent (see the file's source)"
    citation = "Dosovitskiy & Brox 2016, arXiv:1602.02644"

    def __init__(self, net: str, module: nn.Module, stats: CodeStats | None = None) -> None:
        self.name, self.module = f"deepsim:{net}", module.eval().requires_grad_(False)
        self.channels, self.image_size = 3, (256, 256)
        self.code_shape = (256, 6, 6) if net == "pool5" else (_DENSE[net],)
        lower = -FC_UPPER if net == "fc8" else 0.0  # logits have both signs, the others are behind a rectifier
        self.stats = stats or unmeasured(self.code_shape, FC_STD, lower, FC_UPPER)
        self._mean = torch.tensor(BGR_MEAN)[:, None, None]

    def decode(self, code: Tensor) -> Tensor:
        bgr = (self.module(code) + self._mean.to(code)) / 255
        rgb: Tensor = bgr[:, [2, 1, 0]].clamp(0, 1)
        return rgb


def deepsim(net: str, path: Path, width: float = 1.0) -> DeePSiM:
    """A DeePSiM generator from its state dict.

    Raises:
        GeneratorError: an unknown net, a file that is refused, or weights that do not fit.
    """
    module = layers(net, width)
    state = published_keys(read_state(path))
    own = module.state_dict()
    for key, value in own.items():
        if key not in state or state[key].shape != value.shape:
            there = list(state[key].shape) if key in state else "missing"
            raise GeneratorError(
                f"The weights do not fit DeePSiM {net}: {key} is {there}, not {list(value.shape)}.",
                f"Name the net that the file is of: {', '.join(NETS)}.",
            )
    module.load_state_dict({key: state[key] for key in own})
    return DeePSiM(net, module)


def published_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The layers' names without what ports put around them: ``G.`` in front, ``.1.`` between."""
    return {key.removeprefix("G.").replace(".1.", "."): value for key, value in state.items()}


class Taesd(Generator):
    """The tiny autoencoder of Stable Diffusion: latents ``[4, S/8, S/8]``, about in [−3, 3]; it has an encoder.

    Args:
        model: diffusers' ``AutoencoderTiny``.
        size: of the pictures, a multiple of 8.
    """

    name, licence, citation = "taesd", "MIT", "O. Bohan, TAESD"

    def __init__(self, model: Any, size: int = 224) -> None:
        self.model = model.eval().requires_grad_(False)
        factor = 2 ** (len(model.config.encoder_block_out_channels) - 1)
        self.channels, self.image_size = 3, (size, size)
        self.code_shape = (model.config.latent_channels, size // factor, size // factor)
        self.stats = unmeasured(self.code_shape, 1.0, -3.0, 3.0)

    def decode(self, code: Tensor) -> Tensor:
        picture: Tensor = self.model.decode(code).sample
        return ((picture + 1) / 2).clamp(0, 1)

    def encode(self, pictures: Tensor) -> Tensor:
        code: Tensor = self.model.encode(pictures * 2 - 1).latents
        return code


def taesd(folder: str = "", size: int = 224) -> Taesd:
    """TAESD through diffusers: from a folder, or fetched by diffusers under its published name.

    Raises:
        GeneratorError: diffusers is not installed, or does not give it.
    """
    try:
        diffusers = importlib.import_module("diffusers")
    except ImportError:
        raise GeneratorError(
            "TAESD needs diffusers, which is not installed.", 'Run pip install "vizcore[taesd]".'
        ) from None
    try:
        model = diffusers.AutoencoderTiny.from_pretrained(folder or "madebyollin/taesd", local_files_only=bool(folder))
    except Exception as error:  # diffusers', its hub's and the file's errors have no common base
        raise GeneratorError(f"diffusers does not give TAESD ({type(error).__name__}).", "Check the folder.") from None
    return Taesd(model, size)
