"""How good a network is, and what it mistakes for what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from vizcore.errors import ModelError
from vizcore.train.data.parts import Part, pieces, scaled
from vizcore.train.robust import attack_l2
from vizcore.zoo.load import Network

BATCH = 250


@dataclass(frozen=True)
class Mistake:
    """A picture that was taken for another class: its row, both classes, and how sure the network was."""

    row: int
    label: int
    taken_for: int
    probability: float


@dataclass(frozen=True)
class Report:
    """What was found on pictures with labels.

    Args:
        accuracy, loss: the share that is right, and the mean cross-entropy.
        confusion: int64 ``[K, K]``; row: the label, column: what it was taken for.
        members: the accuracy of each network of an ensemble; one for one network.
        mistakes: all of them, the surest first.
    """

    accuracy: float
    loss: float
    confusion: torch.Tensor
    members: tuple[float, ...]
    mistakes: tuple[Mistake, ...]

    def pairs(self, count: int = 10) -> list[tuple[int, int, int]]:
        """The most frequent confusions: label, taken for, how often."""
        table = self.confusion.clone().fill_diagonal_(0)
        values, order = table.flatten().sort(descending=True, stable=True)
        width = len(table)
        return [(int(i) // width, int(i) % width, int(n)) for n, i in zip(values, order, strict=True) if n > 0][:count]


def evaluate(networks: Sequence[Network], part: Part) -> Report:
    """Let one network, or several as an ensemble (the mean of their probabilities), judge pictures.

    Labels are by the first network's order of classes.  Networks for different sizes each get their own, so the
    pictures should have the largest.

    Raises:
        ModelError: networks of different classes or channels, or not those of the pictures.
    """
    report = None
    for report in evaluating(networks, part):  # noqa: B007 (the last one)
        pass
    assert isinstance(report, Report)
    return report


def evaluating(networks: Sequence[Network], part: Part) -> Iterator[int | Report]:
    """As :func:`evaluate`; yields the number of pictures seen so far, then the report."""
    _agree(networks, part)
    orders = [_order(network, networks[0]) for network in networks]
    found: list[torch.Tensor] = []
    right = [0] * len(networks)
    for rows in pieces(len(part), BATCH):
        each = [probabilities(network, _sized(network, networks, part.images[rows])) for network in networks]
        _complete(networks, each)
        each = [values if order is None else values[:, order] for values, order in zip(each, orders, strict=True)]
        for index, values in enumerate(each):
            right[index] += int((values.argmax(1) == part.labels[rows]).sum())
        found.append(torch.stack(each).mean(0))
        yield min(rows.stop, len(part))
    yield judge(torch.cat(found), part.labels, tuple(count / len(part) for count in right))


def judge(values: torch.Tensor, labels: torch.Tensor, members: tuple[float, ...] = ()) -> Report:
    """The report of probabilities ``[N, K]`` for labels ``[N]``."""
    sure, taken = values.max(1)
    classes = values.shape[1]
    confusion = torch.bincount(labels * classes + taken, minlength=classes**2).view(classes, classes)
    wrong = torch.nonzero(taken != labels)[:, 0]
    order = wrong[sure[wrong].argsort(descending=True, stable=True)].tolist()
    mistakes = tuple(Mistake(row, int(labels[row]), int(taken[row]), float(sure[row])) for row in order)
    accuracy = 1 - len(mistakes) / len(labels)
    loss = float(F.nll_loss(values.clamp_min(1e-12).log(), labels))
    return Report(accuracy, loss, confusion, members or (accuracy,), mistakes)


@torch.no_grad()
def probabilities(network: Network, images: torch.Tensor) -> torch.Tensor:
    """What the network makes of uint8 ``[N, C, H, W]``: ``[N, K]`` on the CPU, in fp32."""
    device = next(network.module.parameters()).device
    logits: torch.Tensor = network.module(network.normalize(images.to(device).float() / 255))
    return logits.float().softmax(1).cpu()


def under_attack(network: Network, part: Part, epsilon: float, steps: int, rate: float) -> float:
    """The accuracy on pictures that were changed within an L2 ball of ``epsilon`` so that the loss grows."""
    rng = torch.Generator().manual_seed(0)
    device = next(network.module.parameters()).device
    right = 0

    def logits(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = network.module(network.normalize(x))
        return found

    for rows in pieces(len(part), BATCH):
        x, y = part.images[rows].to(device).float() / 255, part.labels[rows].to(device)
        hostile = attack_l2(logits, x, y, epsilon, steps, rate, rng)
        with torch.no_grad():
            right += int((logits(hostile).argmax(1) == y).sum())
    return right / len(part)


def as_taken(network: Network, networks: Sequence[Network], part: Part) -> Part:
    """``part``, whose labels are by the first of ``networks``, at the size and with the labels of ``network``."""
    order = _order(network, networks[0])
    labels = part.labels if order is None else torch.tensor(order)[part.labels]
    return Part(_sized(network, networks, part.images), labels, part.names)


def _sized(network: Network, networks: Sequence[Network], images: torch.Tensor) -> torch.Tensor:
    same = len({other.card.size for other in networks}) == 1
    return images if same else scaled(images, network.card.size)


def _order(network: Network, first: Network) -> list[int] | None:
    """For each class of ``first`` its number among those of ``network``; None where that is its own."""
    classes, wanted = network.card.classes, first.card.classes
    if classes == wanted or numbered(classes) or numbered(wanted):
        return None
    return [classes.index(name) for name in wanted]


def numbered(classes: tuple[str, ...]) -> bool:
    """Whether the names say no more than the numbers, as those of a file without a card."""
    return classes == tuple(f"class {index}" for index in range(len(classes)))


def _complete(networks: Sequence[Network], each: Sequence[torch.Tensor]) -> None:
    for network, values in zip(networks, each, strict=True):
        card = network.card
        if values.shape[1] != len(card.classes):
            raise ModelError(
                f"The card of {card.name[:60]!r} names {len(card.classes)} classes, and the network gives "
                f"{values.shape[1]} numbers.",
                "Mend the classes in its card.json.",
            )


def _agree(networks: Sequence[Network], part: Part) -> None:
    classes = {len(network.card.classes) for network in networks}
    channels = {network.card.channels for network in networks}
    named = [network.card.classes for network in networks if not numbered(network.card.classes)]
    if len(classes) > 1 or len(channels) > 1 or len({frozenset(names) for names in named}) > 1:
        raise ModelError("The networks have different classes or channels.", "Evaluate them one by one.")
    if channels != {int(part.images.shape[1])}:
        raise ModelError(
            f"The network takes pictures of {channels.pop()} channels, and these have {part.images.shape[1]}.",
            "Use the data set that it was trained for.",
        )
    if int(part.labels.max()) >= max(classes):
        raise ModelError(
            f"The network knows {max(classes)} classes, and the pictures have more.",
            "Use the data set that it was trained for.",
        )
