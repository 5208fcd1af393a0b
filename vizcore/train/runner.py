"""One training from its order to its folder; whoever drives it may stop between any two steps.

::

    order ─► data set ─► network ─► epochs (steps) ─► folder ─► test pictures ─► card
                                └─ another seed while it stays below ``until`` ─┘
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import vizcore
from vizcore.errors import TrainingError
from vizcore.memory import is_out_of_memory
from vizcore.train import changes, design, evaluate, orders
from vizcore.train import recipe as recipes
from vizcore.train.data import Dataset, Part, Progress, fingerprint, open_dataset, split
from vizcore.train.design import Design, Made
from vizcore.train.folder import Folder, damaged, write_card
from vizcore.train.loop import Epoch, Step, Training
from vizcore.train.orders import Order
from vizcore.zoo import download
from vizcore.zoo.card import Card
from vizcore.zoo.load import Network, load

ATTACKED = 2000  # test pictures whose accuracy under attack is measured
ATTACK = (20, 0.125)  # steps, and length of each as a share of epsilon


@dataclass(frozen=True)
class Failed:
    """A seed that did not reach what was asked for; the next one is tried."""

    seed: int
    accuracy: float


Event = Step | Epoch | Failed


@dataclass
class Runner:
    """Carries out an order.

    Args:
        command: the command line that makes the same again, for the card.
        fresh: begin anew, whatever is in the folder.
    """

    order: Order
    out: Path
    device: str = "cpu"
    fresh: bool = False
    command: str = ""
    failed: list[Failed] = field(default_factory=list)

    def prepare(
        self, progress: Progress | None = None, fetching: download.Progress | None = None, allow_factory: bool = False
    ) -> None:
        """Read the data, make the network, look into the folder; all that can be refused is refused here."""
        what = self.order
        self.folder = Folder(self.out, orders.to_dict(what), what.half)
        data = Path(what.data) if what.data else None
        start = None
        if what.start:
            start = load(what.start, what.start_arch or None, allow_factory=allow_factory, progress=fetching)
        channels = what.channels or (start.card.channels if start is not None else None)
        named = what.dataset in ("efl", "mnist", "svhn")
        self.dataset = open_dataset(
            what.dataset, data, what.size, None if named else channels, what.recipe.seed, progress, fetching
        )
        if self.dataset.train is None:
            raise TrainingError("The data set has no pictures to train with.", "Put them into a folder train.")
        self.train, self.validate = _divided(self.dataset, what)
        _all_learnt(self.dataset)
        self._data = fingerprint(self.dataset)
        checkpoint = self.folder.begin(self.fresh)
        extra = checkpoint.pop("runner") if checkpoint else {}
        if extra.get("data", self._data) != self._data:
            raise TrainingError(
                "The pictures are not those that the training in this folder began with.",
                "Put them back, or use --fresh to begin anew.",
            )
        self._start = start
        try:
            self.failed[:] = [Failed(**item) for item in extra.get("failed", ())]
            self._begin(checkpoint)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            if checkpoint is None or is_out_of_memory(error):  # the latter is no reason to begin anew
                raise
            raise damaged() from None
        self.resumed = len(self.training.epochs)

    @property
    def seed(self) -> int:
        """Of the attempt that goes on."""
        return self.order.recipe.seed + len(self.failed)

    def run(self) -> Iterator[Event]:
        """Train; yields after each step, each epoch (which is on disk then) and each failed seed."""
        while True:
            while not self.training.finished:
                yield from self.training.epoch()
                self.keep()
                yield self.training.epochs[-1]
            reached = self.training.epochs[self.training.best].validation_accuracy
            if not self.order.restarts or reached is None or reached >= self.order.until:
                return
            self.failed.append(Failed(self.seed, round(reached, 4)))
            yield self.failed[-1]
            if len(self.failed) >= self.order.restarts:
                raise TrainingError(
                    f"None of {len(self.failed)} seeds reached {self.order.until:.0%}.", "Use more --restarts."
                )
            self._begin(None)

    def keep(self) -> None:
        """Write the epoch that has just ended."""
        extra = {"failed": [dataclasses.asdict(item) for item in self.failed], "data": self._data}
        self.folder.keep(self.training, self._card(), {"runner": extra})

    def finish(self) -> dict[str, Any]:
        """Measure the weights on disk with the test pictures and complete their card; returns what is in it."""
        network = load(str(self.out / "weights.safetensors"))
        facts = dict(network.card.facts)
        if self.dataset.test is not None:
            report = evaluate.evaluate([network.to(self.device)], self.dataset.test)
            facts["accuracy"] = round(report.accuracy, 4)
            if self.order.robust:
                facts |= self._attacked(network)
        elif "validation_accuracy" in facts:
            facts["accuracy"] = facts["validation_accuracy"]
        card = dataclasses.replace(network.card, facts=facts)
        write_card(self.out, card)
        self.folder.finish()
        return facts

    def _attacked(self, network: Network) -> dict[str, Any]:
        how = recipes.parse_robust(self.order.robust)
        test = self.dataset.test
        if how is None or test is None:
            return {}
        rows = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:ATTACKED]
        value = evaluate.under_attack(network, test.pick(rows), how.epsilon, *ATTACK)
        steps, rate = ATTACK
        return {
            "robust_accuracy": round(value, 4),
            "attack": f"{steps} steps of L2 projected gradient, epsilon {how.epsilon:g}, step {rate:g} epsilon, "
            f"random start, {len(rows)} test pictures",
        }

    def _begin(self, checkpoint: dict[str, Any] | None) -> None:
        what, seed = self.order, self.seed
        self.made: Made = design.make(
            Design(what.arch, what.options, what.tune), self.dataset, self.out.resolve().name, seed, self._start
        )
        recipe = dataclasses.replace(what.recipe, seed=seed)
        self.training = Training(
            recipe, self.made.module, self.made.card.mean, self.made.card.std, self.train, self.validate,
            changes.parse(what.augment), recipes.parse_robust(what.robust), self.device, self.made.frozen,
        )  # fmt: skip
        if checkpoint is not None:
            self.training.restore(checkpoint)

    def _card(self) -> Card:
        card, what = self.made.card, self.order
        facts: dict[str, Any] = {**card.facts, "recipe": words(what, self.training.precision)}
        if self.command:
            facts["command"] = self.command
        if self.failed:
            facts["failed_seeds"] = {str(item.seed): item.accuracy for item in self.failed}
        facts["parameters"] = sum(p.numel() for p in self.made.module.parameters())
        facts["vizcore"] = vizcore.__version__
        return dataclasses.replace(card, title=what.title or card.title, facts=facts)


def _all_learnt(dataset: Dataset) -> None:
    """Refuse pictures to validate or test with, of a class that there is nothing to learn from."""
    assert dataset.train is not None
    learnt = set(dataset.train.labels.tolist())
    for name, part in (("validation", dataset.validate), ("test", dataset.test)):
        new = sorted(set(part.labels.tolist()) - learnt) if part is not None else []
        if new:
            raise TrainingError(
                f"The class {dataset.classes[new[0]][:40]!r} has pictures for {name} and none to train with.",
                "Add some, or take the others away.",
            )


def words(what: Order, precision: str) -> str:
    """The recipe in one line."""
    r = what.recipe
    parts = [f"{r.optimizer} {r.schedule} {r.lr:g}, batches of {r.batch_size}, weight decay {r.weight_decay:g}"]
    how = recipes.parse_robust(what.robust)
    if how is not None:
        start = "one step from a random start" if how.steps == 1 else f"{how.steps} steps of {how.rate:.2g}"
        parts.append(f"adversarial training l2:{how.epsilon:g}, {start}")
    if what.augment:
        parts.append(what.augment)
    if r.smoothing:
        parts.append(f"label smoothing {r.smoothing:g}")
    if r.average:
        parts.append(f"averaged weights {r.average:g}")
    if what.start:
        parts.append(f"from {Path(what.start).name}, tuned: {what.tune}")
    return "; ".join([*parts, precision])


def _divided(dataset: Dataset, what: Order) -> tuple[Part, Part | None]:
    """The pictures to train and to validate with."""
    train, validate = dataset.train, dataset.validate
    assert train is not None
    if validate is None and what.recipe.validate:
        train, validate = split(train, what.recipe.validate, what.recipe.seed)
    if what.sample and what.sample < len(train):
        _, train = split(train, what.sample / len(train), what.recipe.seed)
    return train, validate
