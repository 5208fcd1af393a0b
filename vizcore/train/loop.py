"""The loop: pictures in memory, a network, a recipe; one step at a time, so that whoever drives it may stop or look.

::

    rows of the epoch ─► pictures ─► augmented ─► (attacked) ─► loss ─► step ─► moving average
                                                    epoch's end ─► the average on the validation pictures

Nothing here reads or writes a file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from vizcore import arithmetic, memory
from vizcore.errors import EngineError, TrainingError
from vizcore.train import augment
from vizcore.train import recipe as recipes
from vizcore.train.changes import Augmentation
from vizcore.train.data.parts import Part, pieces
from vizcore.train.recipe import Recipe, Robust
from vizcore.train.robust import Average, attack_l2

HALVINGS = 3  # of a batch that does not fit


@dataclass(frozen=True)
class Step:
    """What one batch gave: ``epoch`` from 1, ``step`` of ``steps`` in it, mean loss and the share that was right."""

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    note: str = ""


@dataclass
class Epoch:
    """What one epoch gave; validation is None without such pictures."""

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    lr: float
    seconds: float
    preparing: float  # seconds in which pictures were prepared and the network waited


@dataclass
class Training:
    """A network that is being trained; it is changed in place.

    Args:
        module: the network, with its first weights.
        mean, std: ``[C]``, for pictures in [0, 1].
        frozen: layers that keep their weights, and their batch statistics, by the start of their names.
    """

    recipe: Recipe
    module: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: Part
    validate: Part | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    robust: Robust | None = None
    device: str = "cpu"
    frozen: Callable[[str], bool] | None = None
    epochs: list[Epoch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._device = torch.device(self.device)
        self.precision = arithmetic.choose_precision(self.recipe.precision, self._device, False)
        self.module.to(self._device).requires_grad_(True)
        flat = not any(isinstance(part, nn.Conv2d) for part in self.module.modules())
        if flat and self.recipe.precision == "auto":
            self.precision = "fp32"  # small dense layers are slower with the conversion
        arithmetic.like(self.module, self._device)
        self._mean = torch.tensor(self.mean)[:, None, None].to(self._device)
        self._std = torch.tensor(self.std)[:, None, None].to(self._device)
        frozen = self.frozen or (lambda name: False)
        trained = []
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(not frozen(name))
            if not frozen(name):
                trained.append(parameter)
        self._resting = [
            part for name, part in self.module.named_modules()
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and frozen(name + ".")
        ]  # fmt: skip
        self.optimizer = self._optimizer(trained)
        self.average = Average(self.module, self.recipe.average) if self.recipe.average else None
        self.batch = self.recipe.batch_size  # smaller after the memory was short
        size = min(self.recipe.batch_size, len(self.train))
        self.steps = max(1, len(self.train) // size)  # what is over is seen in another epoch
        self._size = size
        self._updates = 0
        self._starts = torch.Generator()  # of attacks

    @property
    def finished(self) -> bool:
        """Whether all epochs are over, or patience is."""
        return len(self.epochs) >= self.recipe.epochs or self._stopped_early()

    @property
    def best(self) -> int:
        """The index of the epoch that is kept: the one with the highest validation accuracy.

        The last one without validation, and of robust trainings: unharmed pictures, which validation shows, are not
        what they are for, and early epochs do better there.
        """
        return len(self.epochs) - 1 if self.robust is not None else self._highest

    @property
    def _highest(self) -> int:
        """The index of the epoch with the highest validation accuracy; the last one without validation."""
        values = [-1.0 if e.validation_accuracy is None else e.validation_accuracy for e in self.epochs]
        return max(range(len(values)), key=lambda i: (values[i], i)) if values else -1

    def epoch(self) -> Iterator[Step]:
        """Train for one epoch, a step each time; at its end :attr:`epochs` has one more.

        Raises:
            TrainingError: the loss is no number any more.
            EngineError: not even an eighth of a batch fits into memory.
        """
        number = len(self.epochs)
        rng = torch.Generator().manual_seed((self.recipe.seed << 20) + number)
        torch.manual_seed((self.recipe.seed << 20) + number)  # for dropout
        self._starts = torch.Generator().manual_seed((self.recipe.seed << 20) + number)
        order = torch.randperm(len(self.train), generator=rng)[: self.steps * self._size]
        began, preparing, rate = time.perf_counter(), 0.0, 0.0
        losses = hits = 0.0
        for step, rows in enumerate(order.view(self.steps, self._size)):
            self._learning()
            start = time.perf_counter()
            x, y = self._pictures(rows, rng)
            preparing += time.perf_counter() - start
            rate = recipes.rate(self.recipe, (number + step / self.steps) / self.recipe.epochs)
            loss, right, note = self._step(x, y, rate)
            if not math.isfinite(loss):
                raise self._no_number(number, step, rate)
            losses, hits = losses + loss, hits + right / len(rows)
            yield Step(number + 1, step + 1, self.steps, loss, right / len(rows), note)
        seconds = time.perf_counter() - began
        loss_there, right_there = None, None
        if self.validate is not None and len(self.validate):
            loss_there, right_there = self.measure(self.validate)
        mean = losses / self.steps
        self.epochs.append(
            Epoch(number + 1, mean, hits / self.steps, loss_there, right_there, rate, seconds, preparing)
        )

    def state(self) -> dict[str, torch.Tensor]:
        """The weights that count: the moving average if there is one; copies, on the CPU."""
        source = self.module.state_dict() if self.average is None else self.average.state
        return {key: value.detach().to("cpu", copy=True).contiguous() for key, value in source.items()}

    def measure(self, part: Part) -> tuple[float, float]:
        """Mean loss and accuracy of the weights that count, on pictures as they are."""
        total, hits = 0.0, 0
        with self.settled():
            for rows in pieces(len(part), max(self.batch, 250)):
                logits = self.logits(part.images[rows].to(self._device).float() / 255).float()
                labels = part.labels[rows].to(self._device)
                total += float(F.cross_entropy(logits, labels, reduction="sum"))
                hits += int((logits.argmax(1) == labels).sum())
        return total / len(part), hits / len(part)

    def settled(self) -> Settled:
        """A context in which the network has the weights that count and is in evaluation mode, without gradients."""
        return Settled(self)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """The logits of pictures ``[N, C, H, W]`` in [0, 1]."""
        x = (x - self._mean) / self._std
        with arithmetic.arithmetic(self.precision, self._device):
            found: torch.Tensor = self.module(x.contiguous(memory_format=torch.channels_last))
        return found

    def checkpoint(self) -> dict[str, Any]:
        """All that :meth:`restore` needs to go on at the end of this epoch."""
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state,
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "batch": self.batch,
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Go on from a checkpoint of an equal training."""
        self.module.load_state_dict(checkpoint["module"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        if self.average is not None:
            self.average.state = {key: value.to(self._device) for key, value in checkpoint["average"].items()}
        self.epochs[:] = [Epoch(**epoch) for epoch in checkpoint["epochs"]]
        self.batch = checkpoint["batch"]
        self._updates = len(self.epochs) * self.steps

    def _pictures(self, rows: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        images = self.train.images[rows].to(self._device)
        x = augment.apply(images, self.augmentation, self._mean, rng)
        return x, self.train.labels[rows].to(self._device)

    def _step(self, x: torch.Tensor, y: torch.Tensor, rate: float) -> tuple[float, int, str]:
        """One change of the weights; the batch goes through in halves if the memory is short, and stays so."""
        note = ""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        while True:
            problem = ""
            try:
                loss, right = self._gradients(x, y)
                break
            except (MemoryError, RuntimeError) as error:
                if not memory.is_out_of_memory(error):
                    raise
                problem = str(error)
            # outside of the except block, whose traceback would hold the tensors that did not fit
            if self.batch <= max(2, self.recipe.batch_size >> HALVINGS):
                raise EngineError(
                    f"Not even {self.batch} pictures at once fit into memory ({problem.splitlines()[0][:80]}).",
                    "Use a smaller --size, fewer --filters, or another --device.",
                )
            self.batch = max(2, self.batch // 2)
            note = f"The memory was short: {self.batch} pictures go through at once now."
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        if math.isfinite(loss):
            self.optimizer.step()
            if self.average is not None:
                # At first it follows more closely, or it would be of the first weights for long.
                self._updates += 1
                self.average.decay = min(self.recipe.average, (1 + self._updates) / (10 + self._updates))
                self.average.update(self.module)
        return loss, right, note

    def _gradients(self, x: torch.Tensor, y: torch.Tensor) -> tuple[float, int]:
        """The gradients of the mean loss of a batch, in pieces of :attr:`batch`; loss and hits."""
        self.optimizer.zero_grad(set_to_none=True)
        total, right = 0.0, 0
        for rows in pieces(len(y), self.batch):
            images, labels = x[rows], y[rows]
            if self.robust is not None:
                self.module.eval()  # the attack sees fixed batch statistics
                how = self.robust
                start = self._starts if how.steps == 1 else None
                images = attack_l2(self.logits, images, labels, how.epsilon, how.steps, how.rate, start)
                self._learning()
            logits = self.logits(images).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.smoothing) * (len(labels) / len(y))
            torch.autograd.backward(loss)
            total += float(loss.detach())
            right += int((logits.detach().argmax(1) == labels).sum())
        return total, right

    def _learning(self) -> None:
        self.module.train()
        for part in self._resting:
            part.eval()

    def _optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        recipe = self.recipe
        decay = [p for p in parameters if p.ndim > 1]
        plain = [p for p in parameters if p.ndim <= 1]
        groups = [
            {"params": decay, "weight_decay": recipe.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        if recipe.optimizer == "sgd":
            return torch.optim.SGD(groups, recipe.lr, recipe.momentum, nesterov=recipe.momentum > 0)
        make = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
        return make(groups, recipe.lr)

    def _stopped_early(self) -> bool:
        since = len(self.epochs) - 1 - self._highest
        return bool(self.recipe.patience and self.epochs and since >= self.recipe.patience)

    def _no_number(self, epoch: int, step: int, rate: float) -> TrainingError:
        kept = f"what epoch {epoch} gave is kept" if epoch else "nothing was kept yet"
        return TrainingError(
            f"The loss is no number any more at step {epoch * self.steps + step + 1} (epoch {epoch + 1}); {kept}.",
            f"Try --lr {self.recipe.lr / 10:.2g}"
            + (", or --precision fp32." if self.precision != "fp32" else ", or another --seed."),
        )


class Settled:
    """See :meth:`Training.settled`."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._gradients = torch.no_grad()

    def __enter__(self) -> nn.Module:
        training = self._training
        self._own: dict[str, torch.Tensor] = {}
        if training.average is not None:
            self._own = {key: value.clone() for key, value in training.module.state_dict().items()}
            training.module.load_state_dict(training.average.state)
        training.module.eval()
        self._gradients.__enter__()
        return training.module

    def __exit__(self, *problem: object) -> None:
        self._gradients.__exit__(None, None, None)
        if self._own:
            self._training.module.load_state_dict(self._own)
        self._training._learning()
