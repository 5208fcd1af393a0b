"""What a generator is: codes that decode to pictures, and what is known of them.

::

    picture [N, C, H, W] in [0, 1] ──encode──► code [N, *code_shape] ──decode──► picture
                                                  │ prior: where likelier codes lie
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vizcore.errors import GeneratorError
from vizcore.layers import Cut
from vizcore.rng import START, stream
from vizcore.zoo.load import Network

AXES = 64  # of a code, at most: less is lost of its variance than a decoder leaves out of its pictures
SPREAD = 3.0  # deviations above the mean that a unit may reach (DGN-AM: Nguyen et al. 2016, appendix)


@dataclass(frozen=True)
class CodeStats:
    """What each unit of a code is like on real pictures; four tensors of the code's shape.

    Args:
        lower, upper: the box that codes are kept in.
    """

    mean: Tensor
    std: Tensor
    lower: Tensor
    upper: Tensor

    def __post_init__(self) -> None:
        if not self.mean.shape == self.std.shape == self.lower.shape == self.upper.shape:
            raise GeneratorError("The statistics of the code differ in shape.", "Measure them again.")

    @property
    def scale(self) -> float:
        """The mean deviation of a unit: the length that rates are in."""
        return max(float(self.std.mean()), 1e-12)

    def to(self, like: Tensor) -> CodeStats:
        """The same where ``like`` is, and of its type."""
        return CodeStats(*(value.to(like) for value in (self.mean, self.std, self.lower, self.upper)))


def measure(codes: Tensor) -> CodeStats:
    """The statistics of codes ``[N, *code_shape]`` of real pictures, at least 1000 of them.

    The box goes from 0 (or 3 deviations below the mean, where codes may be negative) to 3 deviations above the mean.
    """
    mean, std = codes.mean(0), codes.std(0)
    lower = torch.zeros_like(mean) if float(codes.min()) >= 0 else mean - SPREAD * std
    return CodeStats(mean, std, lower, mean + SPREAD * std)


@dataclass(frozen=True)
class Axes:
    """How the units of a code vary together: the main axes of the codes of real pictures.

    Args:
        units: ``[K, units]``, orthonormal; ``spread``: ``[K]``, the deviation along each.
    """

    units: Tensor
    spread: Tensor

    def drawn(self, noise: Tensor, std: Tensor) -> Tensor:
        """Standard normal ``noise`` ``[N, units]`` with the spread of each axis; what is left of ``std`` besides."""
        units, spread = self.units.to(noise), self.spread.to(noise)
        along = noise @ units.T
        rest = (std.square() - (spread[:, None] * units).square().sum(0)).clamp_min(0).sqrt()
        return (along * spread) @ units + rest * (noise - along @ units)


def axes(codes: Tensor, most: int = AXES) -> Axes:
    """The main axes of codes ``[N, *code_shape]`` (by singular values of them, less their mean)."""
    flat = codes.flatten(1)
    flat = flat - flat.mean(0)
    count = min(most, *flat.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # torch.svd_lowrank begins with random vectors
        _, values, units = torch.svd_lowrank(flat, q=min(count + 8, *flat.shape), niter=4)
    return Axes(units.T[:count].contiguous(), values[:count] / max(len(flat) - 1, 1) ** 0.5)


def unmeasured(shape: tuple[int, ...], std: float, lower: float, upper: float) -> CodeStats:
    """Statistics by hand, the same for every unit."""
    full = [torch.full(shape, value) for value in (0.0, std, lower, upper)]
    return CodeStats(*full)


class Generator:
    """Codes to pictures.  Whoever writes one overrides :meth:`decode`, and :meth:`encode` where there is an encoder.

    Attributes:
        image_size: height and width of the pictures, in px.
        channels: 3 for RGB, 1 for grey.
        licence, citation: of the weights.
    """

    name: str = "generator"
    licence: str = ""
    citation: str = ""
    image_size: tuple[int, int]
    channels: int
    code_shape: tuple[int, ...]
    stats: CodeStats

    def decode(self, code: Tensor) -> Tensor:
        """Pictures ``[N, C, H, W]`` in [0, 1] of codes ``[N, *code_shape]``, differentiable."""
        raise NotImplementedError

    def encode(self, pictures: Tensor) -> Tensor | None:
        """Codes of pictures in [0, 1]; None where there is no encoder."""
        return None

    def denoise(self, code: Tensor) -> Tensor | None:
        """R_h(h) of PPGN-h: codes, nearer to those of real pictures; None where there is no such network."""
        return None

    def prior(self, code: Tensor, picture: Tensor | None = None) -> Tensor | None:
        """The direction of likelier codes, E(G(h)) − h of joint PPGN-h; None, and no prior, without an encoder.

        Args:
            picture: G(h), where it has been computed already.
        """
        with torch.no_grad():
            again = self.encode(self.decode(code) if picture is None else picture)
        return None if again is None else again - code

    def sample(self, count: int, seed: int, channels: tuple[int, ...] | None = None) -> Tensor:
        """Codes ``[count, *code_shape]`` drawn like those of real pictures, within the box.

        Args:
            channels: an address for each, so that a chain alone starts as it does among others.
        """
        shape = self.code_shape
        rows = [stream(seed, row, START).standard_normal(shape) for row in channels or tuple(range(count))]
        return self.drawn(torch.stack([torch.from_numpy(row) for row in rows]).to(self.stats.mean))

    def drawn(self, noise: Tensor) -> Tensor:
        """Standard normal noise ``[N, *code_shape]`` as codes like those of real pictures, unit by unit."""
        stats = self.stats.to(noise)
        return self.project(stats.mean + stats.std * noise)

    def project(self, code: Tensor) -> Tensor:
        """``code``, kept in the box of the statistics."""
        stats = self.stats.to(code)
        return torch.minimum(torch.maximum(code, stats.lower), stats.upper)

    def to(self, device: str | torch.device) -> Self:
        """This generator, moved (not copied) to ``device``."""
        for name, value in vars(self).items():
            if isinstance(value, nn.Module | Network):
                value.to(device)
            elif isinstance(value, CodeStats):
                setattr(self, name, value.to(value.mean.to(device)))
        return self

    def check(self) -> None:
        """Decode one code and look at it.

        Raises:
            GeneratorError: code, picture and what is said of them do not fit.
        """
        if tuple(self.stats.mean.shape) != tuple(self.code_shape):
            raise GeneratorError(
                f"The statistics of {self.name} are of codes {list(self.stats.mean.shape)}, its codes are "
                f"{list(self.code_shape)}.",
                "Use the statistics that were made for it.",
            )
        wanted = (1, self.channels, *self.image_size)
        try:
            with torch.no_grad():
                found = tuple(self.decode(self.stats.mean[None]).shape)
        except RuntimeError:
            raise GeneratorError(
                f"{self.name} does not take codes of {list(self.code_shape)}.", "Check its card or code shape."
            ) from None
        if found != wanted:
            raise GeneratorError(
                f"{self.name} paints {list(found[1:])}, where {list(wanted[1:])} was expected.", "Check its card."
            )


class Autoencoder(Generator):
    """A decoder behind a layer of a network, which is the encoder: joint PPGN-h (Nguyen et al. 2017, section 3.5).

    Args:
        encoder: the network, and ``layer``, whose output is the code.
        denoiser: R_h, where there is one.
        image_denoiser: R_x of PPGN-x, where there is one.
        axes: how the units of the code vary together, where that is known.
    """

    def __init__(self, name: str, encoder: Network, layer: str, decoder: nn.Module, stats: CodeStats,
                 denoiser: nn.Module | None = None, image_denoiser: nn.Module | None = None,
                 facts: dict[str, Any] | None = None, axes: Axes | None = None) -> None:  # fmt: skip
        self.name, self.encoder, self.layer, self.stats, self.axes = name, encoder, layer, stats, axes
        self.decoder = decoder.eval().requires_grad_(False)
        self.denoiser = denoiser.eval().requires_grad_(False) if denoiser is not None else None
        self.image_denoiser = image_denoiser.eval().requires_grad_(False) if image_denoiser is not None else None
        self.code_shape = tuple(stats.mean.shape)
        self.channels = encoder.card.channels
        self.image_size = (encoder.card.size, encoder.card.size)
        self.facts = facts or {}
        self.licence = str(self.facts.get("licence", ""))
        self.citation = "Dosovitskiy & Brox 2016; Nguyen et al. 2016, 2017"
        self._cut = Cut(encoder.module, [layer])

    def decode(self, code: Tensor) -> Tensor:
        picture: Tensor = self.decoder(code)
        return picture

    def encode(self, pictures: Tensor) -> Tensor:
        return self._cut(self.encoder.normalize(pictures))[self.layer]

    def drawn(self, noise: Tensor) -> Tensor:
        if self.axes is None:
            return super().drawn(noise)
        stats = self.stats.to(noise)
        change = self.axes.drawn(noise.flatten(1), stats.std.flatten())
        return self.project(stats.mean + change.view_as(noise))

    def denoise(self, code: Tensor) -> Tensor | None:
        if self.denoiser is None:
            return None
        with torch.no_grad():
            restored: Tensor = self.denoiser(code / self.stats.scale) * self.stats.scale
        return restored


class Pixels(Generator):
    """Pictures as their own codes: with it the sampler is PPGN-x, or plain ascent where nothing denoises.

    Args:
        shape: (channels, height, width).
        denoiser: R_x, where there is one.
    """

    def __init__(self, shape: tuple[int, int, int], denoiser: nn.Module | None = None, name: str = "pixels") -> None:
        self.name, self.denoiser = name, denoiser
        self.channels, self.image_size, self.code_shape = shape[0], (shape[1], shape[2]), tuple(shape)
        half = torch.full(shape, 0.5)
        self.stats = CodeStats(half, torch.full(shape, 0.25), torch.zeros(shape), torch.ones(shape))

    def decode(self, code: Tensor) -> Tensor:
        return code

    def encode(self, pictures: Tensor) -> Tensor:
        return pictures

    def denoise(self, code: Tensor) -> Tensor | None:
        if self.denoiser is None:
            return None
        with torch.no_grad():
            restored: Tensor = self.denoiser(code)
        return restored

    def prior(self, code: Tensor, picture: Tensor | None = None) -> Tensor | None:
        restored = self.denoise(code)
        return None if restored is None else restored - code


def pixels_of(generator: Generator) -> Pixels:
    """The pixels of a generator's pictures, with its R_x where it has one: the chain of PPGN-x."""
    denoiser = getattr(generator, "image_denoiser", None)
    return Pixels((generator.channels, *generator.image_size), denoiser, f"pixels of {generator.name}")


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures at another size, bilinear with antialiasing; the same where it is theirs."""
    if tuple(pictures.shape[2:]) == size:
        return pictures
    return F.interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=True)
