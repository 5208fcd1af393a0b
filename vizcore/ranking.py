"""How good a picture is, in numbers that can be compared between runs: in fp32, without any penalty."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vizcore import objectives, transforms
from vizcore.aims import Aim, scaled
from vizcore.ascent import as_seen, score
from vizcore.errors import HistoryError
from vizcore.history import RunReader, decode
from vizcore.layers import Cut
from vizcore.look.naturals import compare_paths
from vizcore.rng import stream
from vizcore.spec import RunSpec

if TYPE_CHECKING:
    from vizcore.look.pictures import Picture
    from vizcore.zoo.load import Network

Progress = tuple[int, int]
MOVES = 16
HELD_OUT = 2**40  # the address of the moves, which no step of a run reaches
SHIFT, ZOOM, TURN = 1 / 16, 10.0, 10.0  # of the size; %; degrees


def judge(
    reader: RunReader,
    network: Network,
    step: int | None = None,
    naturals: Mapping[int, Sequence[Picture]] | None = None,
) -> Generator[Progress, None, list[dict[str, Any]]]:
    """Scores of the pictures of a stored step (default: the newest), one entry per filter.

    Args:
        naturals: by filter, two or more real pictures that excite it.

    Yields (moves done, moves in all), and returns:
        channel, step; activation: the score of the picture as it is; held_out: the mean over 16 moves that no run
        has made (shift by up to 1/16 of the size, zoom by 10 %, turn by 10°), the same for every picture;
        total_variation: the mean absolute difference between neighbouring values, which are in [0, 1];
        path_similarity, where there are real pictures of the filter: how alike the picture and they are processed
        up to the layer, the mean over layers of :class:`vizcore.look.naturals.Likeness` (Geirhos et al. 2024), and
        path_natural: the same among the real ones.

    Raises:
        HistoryError: the step has no pictures.
    """
    at = reader.latest() if step is None else step
    frames = reader.frames(at) if at is not None else []
    if not frames:
        raise HistoryError("The run has no pictures there.", "Choose a step that was kept.")
    pixels = [decode(frame) for frame in frames]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    plain, variation = score(reader.spec, network, images), tv(images)
    moved = yield from held_out(reader.spec, network, images)
    rows: list[dict[str, Any]] = [
        {
            "channel": frame.channel, "step": at, "activation": float(plain[row]), "held_out": float(moved[row]),
            "total_variation": float(variation[row]),
        }
        for row, frame in enumerate(frames)
    ]  # fmt: skip
    for row, frame, picture in zip(rows, frames, pixels, strict=True):
        real = (naturals or {}).get(reader.spec.target(frame.channel), ())
        if len(real) > 1:
            layers = yield from compare_paths(network, picture, real, reader.spec.layer)
            row["path_similarity"] = float(np.mean([layer.synthetic for layer in layers]))
            row["path_natural"] = float(np.mean([layer.natural for layer in layers]))
    return rows


def held_out(spec: RunSpec, network: Network, images: Tensor) -> Generator[Progress, None, Tensor]:
    """Mean scores ``[N]`` in fp32 of pictures ``[N, C, H, W]`` in [0, 1] over moves that no run makes."""
    objective = objectives.parse(spec.objective, spec.layer, spec.targets, network.card)
    cut = Cut(network.module, objective.layers)
    device = next((p.device for p in network.module.parameters()), torch.device("cpu"))
    images = as_seen(spec, network, images)
    normal = network.normalize(images.to(device, torch.float32))
    aim = Aim(spec, network, objective, device, square=not spec.octaves)
    shape = (int(images.shape[2]), int(images.shape[3]))
    reach = max(1, round(SHIFT * (spec.size if spec.parameterization != "generator" else network.card.size)))
    total = torch.zeros(len(images), device=device)
    for number in range(MOVES):
        u = stream(0, 0, HELD_OUT + number).random(4)
        count = len(images)
        moves = transforms.Moves(
            np.tile(np.floor(u[:2] * (2 * reach + 1)).astype(np.int64) - reach, (count, 1)),
            np.full(count, 1 + ZOOM / 100 * (2 * u[2] - 1)),
            np.full(count, TURN * (2 * u[3] - 1)),
        )

        def as_they_are(picture: Tensor, moves: transforms.Moves = moves, count: int = count) -> Tensor:
            there = network.normalize(scaled(picture, shape)).expand(count, -1, -1, -1)
            return transforms.move(there, moves)

        seen = aim.seen(cut, as_they_are)
        with torch.no_grad():
            total += objective(cut(transforms.move(normal, moves)), seen)
        yield number + 1, MOVES
    return (total / MOVES).cpu()


def tv(images: Tensor) -> Tensor:
    """Mean absolute difference ``[N]`` between neighbours, down and to the right, of pictures ``[N, C, H, W]``."""
    down = (images[:, :, 1:] - images[:, :, :-1]).abs().mean((1, 2, 3))
    right = (images[..., 1:] - images[..., :-1]).abs().mean((1, 2, 3))
    return (down + right) / 2
