"""MACO: a picture of which only the phases are free (Fel et al. 2023, arXiv:2306.06805).

``canvas = colours · inverse FFT(r · exp(i φ))`` with the magnitudes ``r`` of photographs, so that what is found looks
like one: no frequency can grow.  ``picture = sigmoid(canvas)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vizcore.rng import START, stream
from vizcore.spectrum import COLOURS, magnitudes


class Phases:
    """Phases ``[N, C, H, W // 2 + 1]`` in radians; the logits of the picture have deviation 1 over all colours.

    The columns of a half spectrum that are their own mirror (the first, and the last of even widths) stand for a real
    picture only if ``φ(-k) = -φ(k)``; the odd part of ``φ`` is used there, so that every magnitude is kept exactly.

    Args:
        channels: one row for each; the start of a row depends on (seed, channel) only.
        shape: (colours, height, width).
        spectrum: name of a table of magnitudes (:mod:`vizcore.spectrum`); empty for the bundled one.
    """

    def __init__(self, channels: Sequence[int], shape: tuple[int, int, int], seed: int, spectrum: str,
                 decorrelate: bool, device: torch.device) -> None:  # fmt: skip
        colours, self._height, self._width = shape
        size = (colours, self._height, self._width // 2 + 1)
        start = np.stack([stream(seed, channel, START).random(size, np.float32) for channel in channels])
        self.parameter = torch.from_numpy(np.float32(np.pi) * (2 * start - 1)).to(device).requires_grad_()
        self._magnitude = torch.tensor(
            magnitudes(spectrum, colours, self._height, self._width), dtype=torch.float32, device=device
        )
        self._colours = torch.tensor(COLOURS, dtype=torch.float32, device=device)
        self._coloured = decorrelate and colours == 3
        self._mirror = torch.tensor(-np.arange(self._height) % self._height, device=device)
        self._own = [0] if self._width % 2 else [0, self._width // 2]

    def spectrum(self) -> Tensor:
        """``r · exp(i φ)``, complex ``[N, C, H, W // 2 + 1]``."""
        phase = self.parameter
        columns = phase[..., self._own]
        odd = (columns - columns[..., self._mirror, :]) / 2
        middle = phase[..., 1 : self._width // 2 + self._width % 2]
        phase = torch.cat([odd[..., :1], middle, odd[..., 1:]], -1)
        return torch.polar(self._magnitude.expand_as(phase), phase)

    def canvas(self) -> Tensor:
        """``[N, C, H, W]`` in logits, 0 is middle grey."""
        canvas: Tensor = torch.fft.irfft2(self.spectrum(), s=(self._height, self._width), norm="forward")
        if not self._coloured:
            return canvas
        with torch.autocast(canvas.device.type, enabled=False):  # the picture stays fp32 when the network does not
            mixed: Tensor = self._colours @ canvas.flatten(2)
        return mixed.view(canvas.shape)

    def picture(self, canvas: Tensor) -> Tensor:
        """The picture ``[N, C, H, W]`` in [0, 1]."""
        return canvas.sigmoid()

    def render(self) -> Tensor:
        """The picture in [0, 1], with gradient."""
        return self.picture(self.canvas())

    def settle(self) -> None:
        """Nothing to do: the sigmoid keeps the picture in [0, 1]."""

    def set_canvas(self, canvas: Tensor) -> None:
        """Nothing to do: its magnitudes would be others."""

    def shrink(self, share: float) -> None:
        """Nothing to do: the contrast is fixed."""

    def blur(self, sigma: float) -> None:
        """Nothing to do: the sharpness is fixed."""
