"""How a network is trained: every number of it, with its range.  No torch here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vizcore.errors import SpecError
from vizcore.params import Param, collect, param

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("onecycle", "cosine", "step", "constant")
WARM = 0.2  # of all steps: where one-cycle reaches its highest rate


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training; equal recipes on equal data and arithmetic give equal networks."""

    epochs: int = param(10, "Epochs", "Times that every picture is seen.", "Training", minimum=1, maximum=10_000)
    batch_size: int = param(
        128, "Batch size", "Pictures between two changes of the weights.", "Training", minimum=2, maximum=65_536
    )
    optimizer: str = param("adamw", "Optimizer", "How gradients become changes.", "Training", choices=OPTIMIZERS)
    lr: float = param(3e-3, "Learning rate", "The highest rate.", "Training", minimum=1e-7, maximum=100.0, log=True)
    schedule: str = param(
        "onecycle", "Schedule", "How the rate changes: up and down to 0, down in a cosine, a tenth twice, or not.",
        "Training", choices=SCHEDULES,
    )  # fmt: skip
    momentum: float = param(0.9, "Momentum", "Of sgd, after Nesterov.", "Training", minimum=0.0, maximum=0.999)
    weight_decay: float = param(
        5e-4, "Weight decay", "By which weights are pulled to 0; biases and norms are not.", "Training",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    smoothing: float = param(
        0.0, "Label smoothing", "The share of a label that is spread over all classes.", "Training",
        minimum=0.0, maximum=0.9,
    )  # fmt: skip
    average: float = param(
        0.0, "Averaging", "Decay of the moving average of the weights that is kept; 0 keeps the last ones.", "Training",
        minimum=0.0, maximum=0.99999,
    )  # fmt: skip
    validate: float = param(
        0.1, "Validation", "The share of the training pictures that is held back, if the data set has none.",
        "Training", minimum=0.0, maximum=0.9,
    )  # fmt: skip
    patience: int = param(
        0, "Patience", "Epochs without a better validation after which it stops; 0 is never.", "Training",
        minimum=0, maximum=1000,
    )  # fmt: skip
    seed: int = param(0, "Seed", "Of first weights, order, augmentation.", "Training", minimum=0, maximum=2**31 - 1)
    precision: str = param(
        "auto", "Precision", "Of products; auto is bf16 where the device is quicker with it.", "Training",
        choices=("auto", "fp32", "bf16"),
    )  # fmt: skip


PARAMS: dict[str, Param] = collect(Recipe)


@dataclass(frozen=True)
class Robust:
    """Adversarial training against L2 perturbations up to ``epsilon``, found in ``steps``.

    One step has the whole length and goes from a random start (Wong, Rice and Kolter 2020, arXiv:2001.03994); more go
    1.4 × epsilon together, from the picture itself.
    """

    epsilon: float
    steps: int = 2

    @property
    def rate(self) -> float:
        """Length of a step, as a share of epsilon."""
        return 1.0 if self.steps == 1 else 1.4 / self.steps


def build(values: Mapping[str, object]) -> Recipe:
    """The recipe with these values, each checked; raises :class:`SpecError` for one out of range."""
    unknown = next((name for name in values if name not in PARAMS), None)
    if unknown is not None:
        raise SpecError(f"There is no parameter {unknown[:40]!r}.", f"Use {', '.join(PARAMS)}.")
    checked: dict[str, Any] = {name: PARAMS[name].coerce(value) for name, value in values.items()}
    return Recipe(**checked)


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values."""
    return dataclasses.asdict(recipe)


def parse_robust(text: str) -> Robust | None:
    """What ``--robust l2:0.5`` or, with the number of steps, ``l2:0.5:1`` asks for; None for an empty text.

    Raises:
        SpecError: another norm, or a radius or number of steps out of range.
    """
    if not text:
        return None
    norm, colon, rest = text.partition(":")
    radius, more, count = rest.partition(":")
    hint = "Use for example --robust l2:0.5, in units of a pixel's range, or l2:0.5:1 for an attack of one step."
    if norm.strip().lower() != "l2" or not colon:
        raise SpecError(f"There is no robust training {text[:40]!r}.", hint)
    try:
        epsilon = float(radius)
    except ValueError:
        epsilon = 0.0
    if not 0 < epsilon <= 100:
        raise SpecError(f"The radius of --robust is {radius[:20]!r}, out of range.", hint)
    if not more:
        return Robust(epsilon)
    if not (count.strip().isdecimal() and 1 <= int(count) <= 100):
        raise SpecError(f"The steps of --robust are {count[:20]!r}, out of range.", "Use 1 to 100.")
    return Robust(epsilon, int(count))


def rate(recipe: Recipe, progress: float) -> float:
    """The learning rate at ``progress``, the share of all steps that are done, from 0 to 1."""
    import math

    if recipe.schedule == "onecycle":
        return recipe.lr * min((progress + 1e-3) / (WARM + 1e-3), (1 - progress) / (1 - WARM))
    if recipe.schedule == "cosine":
        return recipe.lr * (1 + math.cos(math.pi * progress)) / 2
    if recipe.schedule == "step":
        return recipe.lr * (0.1 ** int(progress >= 0.5)) * (0.1 ** int(progress >= 0.75))
    return recipe.lr
