"""Pictures that an objective aims at: inversion, caricature and guided dreams compare with a picture's activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vizcore import assets
from vizcore.errors import LayerError, PictureError, SpecError
from vizcore.layers import Cut, find_layer
from vizcore.look.pictures import Picture, fit

if TYPE_CHECKING:
    from vizcore.objectives import Objective
    from vizcore.spec import RunSpec
    from vizcore.zoo.load import Network

Seen = Mapping[str, Tensor]
GUIDE = 512  # px of a guide's longer side at most: more of it costs time and adds hardly a feature


class Aim:
    """The picture of a spec, and what the network sees in it.

    Args:
        square: it is cut and scaled to the spec's size, or to ``side``; else it keeps its form.

    Raises:
        SpecError: the objective needs a picture and the spec has none, or it is not on this machine.
        PictureError: it is too small for a guide.
    """

    def __init__(
        self, spec: RunSpec, network: Network, objective: Objective, device: torch.device, square: bool, side: int = 0
    ) -> None:
        self._network = network
        self._still: Seen | None = None
        self._guided = "guide" in objective.aims
        self.moves = bool(objective.aims - {"guide"})
        self.picture: Tensor | None = None
        if not objective.aims:
            return
        if not spec.picture:
            name = min(objective.aims)
            raise SpecError(f"The objective {name} needs a picture.", "Give one with --picture.")
        picture = assets.picture(spec.picture)
        colours = network.card.channels
        if self._guided:
            check_guide(network, objective, picture)
        self._guide = tensor(_within(picture, GUIDE), colours, device)
        self.picture = (
            tensor(fit(picture, side or spec.size), colours, device) if square else tensor(picture, colours, device)
        )

    def still(self, cut: Cut) -> Seen:
        """Activations of the guide as it is."""
        if self._still is None:
            with torch.no_grad():
                self._still = {path: x.detach() for path, x in cut(self._network.normalize(self._guide)).items()}
        return self._still

    def seen(self, cut: Cut, move: Callable[[Tensor], Tensor] | None = None) -> Mapping[str, Seen]:
        """What an objective compares with: ``"still"`` of the guide, ``"moved"`` of the picture after ``move``.

        Args:
            move: takes the picture ``[1, C, H, W]`` in [0, 1] to what the network is to see ``[M, C, h, w]``.
        """
        found: dict[str, Seen] = {}
        if self._guided:
            found["still"] = self.still(cut)
        if self.moves and self.picture is not None:
            with torch.no_grad():
                found["moved"] = cut(move(self.picture) if move else self._network.normalize(self.picture))
        return found


def check_guide(network: Network, objective: Objective, picture: Picture) -> None:
    """Raises :class:`PictureError` if no position of a layer can see a part of the guide that is wholly inside."""
    need = 0
    for path in objective.layers:
        if path:
            field = find_layer(network, path).receptive_field
            need = max(need, min(field or network.card.size, network.card.size))
    height, width = picture.shape[:2]
    if min(height, width) < need:
        raise PictureError(
            f"The guide picture is too small: {width} × {height} px.", f"Use one of at least {need} × {need} px."
        )


def tensor(picture: Picture, colours: int, device: torch.device) -> Tensor:
    """``[1, C, H, W]`` in [0, 1] of uint8 ``[H, W, 3]``; grey (ITU-R 601) for one colour."""
    if colours == 1 and picture.shape[2] == 3:
        picture = np.asarray(Image.fromarray(picture).convert("L"))[:, :, None]
    return torch.from_numpy(picture.copy()).to(device).permute(2, 0, 1)[None].float() / 255


def scaled(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """``x`` ``[N, C, H, W]`` at another size: bilinear, with antialiasing where it becomes smaller."""
    return x if x.shape[2:] == shape else F.interpolate(x, shape, mode="bilinear", antialias=True)


def _within(picture: Picture, side: int) -> Picture:
    height, width = picture.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return picture
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def check_maps(network: Network, path: str) -> None:
    """Raises :class:`LayerError` if ``path`` does not put out maps."""
    if not path:
        raise LayerError("A dream needs a layer with maps.", "Choose a convolution, a ReLU or a block.")
    layer = find_layer(network, path)
    if layer.height == layer.width == 1:
        raise LayerError(f"The layer {path} has no maps.", "Choose a convolution, a ReLU or a block before it.")
