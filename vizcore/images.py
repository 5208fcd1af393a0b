"""What is ascended: pixels, the Fourier coefficients of a picture in decorrelated colours, their phases, a network.

All have a *canvas*, a linear picture in which 0 is grey and on which penalties act:

* pixel:   picture = canvas + mean of the network's data, canvas kept where the picture is in [0, 1]
* fourier: picture = sigmoid(canvas), canvas = colours · inverse FFT(scale · coefficients)
* maco:    picture = sigmoid(canvas), only the phases are free (:mod:`vizcore.maco`)
* cppn:    picture = sigmoid(canvas), painted by a small network (:mod:`vizcore.cppn`)

Penalties that an image cannot follow leave it as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vizcore.arithmetic import sent
from vizcore.cppn import Painter
from vizcore.maco import Phases
from vizcore.rng import START, stream
from vizcore.spectrum import COLOURS

_CONTRAST = 0.25  # lucid's: a start of deviation 0.01 is then a grey picture


class Pixels:
    """A picture as its pixels, less the mean: the canvas itself is what is ascended.

    Args:
        channels: one row for each; the start noise of a row depends on (seed, channel) only.
        shape: (colours, height, width).
        start: deviation of the noise, of a range of 1.
        mean: of the network's data, per colour.
    """

    def __init__(self, channels: Sequence[int], shape: tuple[int, int, int], start: float, seed: int,
                 mean: Sequence[float], device: torch.device) -> None:  # fmt: skip
        noise = np.stack([stream(seed, channel, START).standard_normal(shape, np.float32) for channel in channels])
        self.parameter = torch.from_numpy(start * noise).to(device, torch.float32).requires_grad_()
        self._mean = torch.tensor(mean, device=device, dtype=torch.float32)[:, None, None]

    def canvas(self) -> Tensor:
        """``[N, C, H, W]``, 0 is the mean."""
        return self.parameter

    @torch.no_grad()
    def set_canvas(self, canvas: Tensor) -> None:
        """Replace the canvas; what leaves [0, 1] is cut off by :meth:`settle`."""
        self.parameter.copy_(canvas)

    def picture(self, canvas: Tensor) -> Tensor:
        """The picture ``[N, C, H, W]`` in [0, 1] of a settled canvas."""
        return canvas + self._mean

    def render(self) -> Tensor:
        """The picture in [0, 1], with gradient."""
        self.settle()
        return self.picture(self.canvas())

    @torch.no_grad()
    def settle(self) -> None:
        """Keep the picture in [0, 1] by moving the canvas, so that no gradient is lost at the edge."""
        self.parameter.clamp_(-self._mean, 1 - self._mean)

    @torch.no_grad()
    def shrink(self, share: float) -> None:
        """Move the canvas towards grey by this share."""
        self.parameter.mul_(1 - share)

    @torch.no_grad()
    def blur(self, sigma: float) -> None:
        """Smooth the canvas by a Gaussian of ``sigma`` px (above 0), mirrored at the edge."""
        height, width = self.parameter.shape[2:]
        device = self.parameter.device
        rows, columns = gaussian(height, sigma, device), gaussian(width, sigma, device)
        self.parameter.copy_(rows @ self.parameter @ columns.T)


class Fourier:
    """A picture as Fourier coefficients, scaled to the spectrum of photographs (Olah, Mordvintsev & Schubert 2017).

    Args:
        start: deviation of the coefficients.
        decay: their weight falls as 1 / frequency ** decay.
        decorrelate: ascend in colours that are independent in photographs; grey pictures have no colours.
    """

    def __init__(self, channels: Sequence[int], shape: tuple[int, int, int], start: float, seed: int, decay: float,
                 decorrelate: bool, device: torch.device) -> None:  # fmt: skip
        colours, self._height, self._width = shape
        size = (colours, self._height, self._width // 2 + 1, 2)
        noise = np.stack([stream(seed, channel, START).standard_normal(size, np.float32) for channel in channels])
        self.parameter = torch.from_numpy(start * noise).to(device, torch.float32).requires_grad_()
        self._frequency = np.hypot(np.fft.fftfreq(self._height)[:, None], np.fft.rfftfreq(self._width)[None])
        lowest = 1 / max(self._height, self._width)
        # lucid multiplies by sqrt(w h) and divides by w h in its inverse FFT; here the FFT does not divide.
        scale = _CONTRAST / np.maximum(self._frequency, lowest) ** decay / np.sqrt(self._height * self._width)
        self._scale = torch.tensor(scale, dtype=torch.float32, device=device)
        matrix = COLOURS if decorrelate and colours == 3 else np.eye(colours)
        self._colours = torch.tensor(matrix, dtype=torch.float32, device=device)
        self._inverse = torch.tensor(np.linalg.inv(matrix), dtype=torch.float32, device=device)
        self._coloured = decorrelate and colours == 3

    def canvas(self) -> Tensor:
        """``[N, C, H, W]`` in logits, 0 is middle grey."""
        # One factor for both parts of a complex number; repeated over pairs of numbers it takes 4 times as long.
        spectrum = torch.view_as_complex(self.parameter) * self._scale
        canvas = torch.fft.irfft2(spectrum, s=(self._height, self._width), norm="forward")
        return self._mix(self._colours, canvas)

    @torch.no_grad()
    def set_canvas(self, canvas: Tensor) -> None:
        """The coefficients that render ``canvas``."""
        spectrum = torch.fft.rfft2(self._mix(self._inverse, canvas), norm="forward")
        self.parameter.copy_(torch.view_as_real(spectrum / self._scale))

    def _mix(self, matrix: Tensor, x: Tensor) -> Tensor:
        if not self._coloured:
            return x
        with torch.autocast(x.device.type, enabled=False):  # the picture stays fp32 when the network does not
            return (matrix @ x.flatten(2)).view(x.shape)

    def picture(self, canvas: Tensor) -> Tensor:
        """The picture ``[N, C, H, W]`` in [0, 1]."""
        return canvas.sigmoid()

    def render(self) -> Tensor:
        """The picture in [0, 1], with gradient."""
        return self.picture(self.canvas())

    def settle(self) -> None:
        """Nothing to do: the sigmoid keeps the picture in [0, 1]."""

    @torch.no_grad()
    def shrink(self, share: float) -> None:
        """Move the canvas towards grey by this share."""
        self.parameter.mul_(1 - share)

    @torch.no_grad()
    def blur(self, sigma: float) -> None:
        """Smooth the canvas by a Gaussian of ``sigma`` px, exactly and periodically: by its transfer function."""
        transfer = np.exp(-2 * (np.pi * sigma * self._frequency) ** 2)
        self.parameter.mul_(sent(transfer.astype(np.float32), self.parameter.device)[..., None])


Image = Pixels | Fourier | Phases | Painter


@functools.lru_cache(maxsize=16)
def gaussian(size: int, sigma: float, device: torch.device) -> Tensor:
    """The matrix ``[size, size]`` that smooths a line as ``scipy.ndimage.gaussian_filter``: 4 sigma wide, mirrored."""
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    matrix = np.zeros((size, size))
    period = 2 * size
    for row in range(size):
        source = (row + offsets) % period
        np.add.at(matrix[row], np.minimum(source, period - 1 - source), weights)
    return torch.tensor(matrix, dtype=torch.float32, device=device)
