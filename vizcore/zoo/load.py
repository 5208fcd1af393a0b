"""From a name to a network that is ready to look into.

::

    digits, imagenette-robust     bundled: models/NAME/weights.safetensors and card.json
    resnet50                      torchvision's, weights fetched when they are first needed
    own:ID                        trained on the page Training
    timm:NAME                     timm's, if it is installed
    weights.safetensors, x.pth    a file; --arch says what is in it, or a card beside it does
    package.module:factory        a function that returns the network; only where the user may run code
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from vizcore.errors import ModelError
from vizcore.zoo import card as cards
from vizcore.zoo import download
from vizcore.zoo.architectures import adapt, build, nearest, torchvision_card, torchvision_names, torchvision_weights
from vizcore.zoo.card import Card
from vizcore.zoo.nets import ARCHITECTURES
from vizcore.zoo.weights import State, read_state, state_hash

Weights = Literal["trained", "random"]
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_FILE_ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl")


@dataclass
class Network:
    """A network in fp32, frozen and in evaluation mode, and its card."""

    card: Card
    module: nn.Module

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False).float()
        self._mean = torch.tensor(self.card.mean)[:, None, None]
        self._std = torch.tensor(self.card.std)[:, None, None]

    def normalize(self, x: torch.Tensor) -> torch.Tensor:
        """Pictures ``[N, C, H, W]`` in [0, 1] as the network takes them."""
        return (x - self._mean.to(x.dtype)) / self._std.to(x.dtype)

    def to(self, device: str | torch.device) -> Network:
        """This network, moved (not copied) to ``device``."""
        self.module.to(device)
        self._mean, self._std = self._mean.to(device), self._std.to(device)
        return self


@dataclass(frozen=True)
class ModelEntry:
    """A network that can be loaded by its name."""

    name: str
    source: str
    on_disk: bool
    classes: int
    size: int
    channels: int


def models() -> list[ModelEntry]:
    """The bundled networks, then torchvision's classification networks."""
    entries = [
        ModelEntry(name, "bundled", True, len(card.classes), card.size, card.channels)
        for name, card in (
            (name, cards.read(folder / cards.CARD, "bundled")) for name, folder in cards.bundled().items()
        )
    ]
    for name in torchvision_names():
        card, url = torchvision_card(name), torchvision_weights(name).url
        on_disk = download.cached(url) is not None
        entries.append(ModelEntry(name, "torchvision", on_disk, len(card.classes), card.size, card.channels))
    return entries


def load(
    model: str,
    arch: str | None = None,
    *,
    allow_factory: bool = False,
    allow_file: bool = True,
    progress: download.Progress | None = None,
    weights: Weights = "trained",
    seed: int = 0,
) -> Network:
    """The network that ``model`` names (see the top of this module), on the CPU.

    Args:
        arch: the architecture of a weights file: a bundled one or a name of torchvision's.
        allow_factory: whether ``package.module:factory`` may run the user's code.
        allow_file: whether ``model`` may be a weights file; if not, none is looked for.
        progress: called with bytes so far and in total while weights are fetched.
        weights: ``"random"`` gives the architecture with numbers drawn from ``seed`` and fetches nothing.

    Raises:
        ModelError: there is no such network, or its weights do not fit or are refused.
        DownloadError: its weights could not be fetched.
    """
    folder = cards.bundled().get(model)
    if folder is not None:
        return _bundled(folder, weights, seed)
    if model in torchvision_names():
        return _torchvision(model, weights, seed, progress)
    if model.startswith(cards.OWN):
        own = cards.trained().get(model)
        if own is None:
            raise ModelError(f"There is no network {model[:60]!r}.", "It was thrown away, or is of another library.")
        network = _file(own / cards.WEIGHTS, None)
        return _finish(dataclasses.replace(network.card, name=model), network.module)
    if model.startswith("timm:"):
        return _timm(model.removeprefix("timm:"), weights, seed)
    if model.lower().endswith(_FILE_ENDINGS) or (arch is not None and allow_file and Path(model).is_file()):
        if not allow_file:
            raise ModelError(
                "A weights file can only be named on the command line.", "Start vizcore serve --model FILE --arch NAME."
            )
        return _file(Path(model), arch)
    if _FACTORY.fullmatch(model):
        if not allow_factory:
            raise ModelError(
                "A network made by a function of yours can only be named on the command line.", "Use vizcore render."
            )
        return _factory(model)
    raise _unknown(model, arch)


def _bundled(folder: Path, weights: Weights, seed: int) -> Network:
    card = cards.read(folder / cards.CARD, "bundled")
    if weights == "random":
        return _finish(card, _random(card, seed))
    module = build(card.arch, card.arch_options)
    _fit(module, read_state(folder / cards.WEIGHTS), card.arch)
    return _finish(card, module)


def _torchvision(name: str, weights: Weights, seed: int, progress: download.Progress | None) -> Network:
    card = torchvision_card(name)
    if weights == "random":
        return _finish(card, _random(card, seed))
    state = read_state(download.fetch(torchvision_weights(name).url, progress))
    module = build(name, quick=True)
    _fit(module, adapt(name, state), name)
    return _finish(card, module)


def _file(path: Path, arch: str | None) -> Network:
    state = read_state(path)
    card = _card_beside(path)
    arch = arch or (card.arch if card else None)
    if arch is None:
        likely = nearest(state)
        hint = (
            f"It looks like {likely}: add --arch {likely}." if likely else "Add --arch NAME, such as --arch resnet50."
        )
        raise ModelError(f"A weights file alone does not say what network {path.name} is for.", hint)
    if card is not None and card.arch == arch:
        classes = None if arch in ARCHITECTURES else len(card.classes) or None  # those of ours are in their options
        module = build(arch, card.arch_options, classes, quick=True)
    else:
        module, card = _guess(path, arch, state)
    _fit(module, adapt(arch, state), arch)
    return _finish(dataclasses.replace(card, source="file"), module)


def _guess(path: Path, arch: str, state: State) -> tuple[nn.Module, Card]:
    """A network of ``arch`` with as many logits as the file has, and the card that goes with it."""
    module = build(arch, quick=True)
    last = [key for key in module.state_dict() if key.endswith("weight")][-1]
    own = len(module.state_dict()[last])
    classes = len(state[last]) if last in state and state[last].dim() else own
    if classes != own and 1 <= classes <= 100_000:
        module = build(arch, classes=classes, quick=True)
    card = _arch_card(arch)
    if classes != len(card.classes):
        card = dataclasses.replace(card, classes=tuple(f"class {index}" for index in range(classes)))
    facts = {key: card.facts[key] for key in ("fixed_size",) if key in card.facts}
    return module, dataclasses.replace(card, name=path.name, title=path.stem, facts=facts)


def _arch_card(arch: str) -> Card:
    """The card of the network that an architecture is best known for."""
    if arch in ARCHITECTURES:
        for folder in cards.bundled().values():
            card = cards.read(folder / cards.CARD)
            if card.arch == arch:
                return card
        raise ModelError(
            f"Weights of the architecture {arch} need the card that was written beside them.",
            "Keep card.json beside weights.safetensors.",
        )
    return torchvision_card(arch)


def _card_beside(path: Path) -> Card | None:
    """The card in ``x.json`` beside ``x.pt``, or in ``card.json`` beside ``weights.safetensors``."""
    for beside in (path.with_suffix(".json"), path.with_name(cards.CARD) if path.name == cards.WEIGHTS else None):
        if beside is not None and beside.is_file():
            return cards.read(beside)
    return None


def _timm(name: str, weights: Weights, seed: int) -> Network:
    try:
        timm = importlib.import_module("timm")
    except ImportError:
        raise ModelError(
            "Networks of timm need timm, which is not installed.", 'Run pip install "vizcore[timm]".'
        ) from None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = timm.create_model(name, pretrained=weights == "trained")
    except Exception as error:  # timm's own, its hub's and the network's errors have no common base
        near = difflib.get_close_matches(name, timm.list_models(), 3, 0.5)
        hint = (
            f"Did you mean {' or '.join('timm:' + found for found in near)}?"
            if near and name not in near
            else "Check the network."
        )
        raise ModelError(f"timm does not give {name[:60]} ({type(error).__name__}).", hint) from None
    config: dict[str, Any] = module.pretrained_cfg
    channels, size, _ = config.get("input_size", (3, 224, 224))
    card = Card(
        name=f"timm:{name}",
        title=name,
        arch=name,
        channels=channels,
        size=size,
        mean=tuple(config.get("mean", cards.IMAGENET_MEAN))[:channels],
        std=tuple(config.get("std", cards.IMAGENET_STD))[:channels],
        classes=_imagenet(module.num_classes),
        source="timm",
        facts={"fixed_size": True} if config.get("fixed_input_size") else {},
    )
    return _finish(card, module)


def _imagenet(count: int) -> tuple[str, ...]:
    names = torchvision_card("resnet18").classes
    return names if len(names) == count else tuple(f"class {index}" for index in range(count))


def _factory(model: str) -> Network:
    """Run the user's function; it returns a module, or a :class:`Network`, or a module and a card's dict."""
    where, _, name = model.partition(":")
    try:
        made = getattr(importlib.import_module(where), name)()
    except Exception as error:  # it is the user's code: anything may come
        text = str(error).splitlines()[0][:200] if str(error) else ""
        raise ModelError(
            f"{model} does not give a network ({type(error).__name__}: {text}).", "Try it in Python."
        ) from error
    if isinstance(made, Network):
        return _finish(dataclasses.replace(made.card, source="factory"), made.module)
    module, facts = made if isinstance(made, tuple) and len(made) == 2 else (made, {})
    if not isinstance(module, nn.Module):
        raise ModelError(f"{model} gives a {type(module).__name__}, not a torch.nn.Module.", "Return the network.")
    channels, size = _input_channels(module), 224
    basis = {"name": model, "arch": name, "channels": channels, "size": size, "classes": []}
    basis |= {
        "mean": list(cards.IMAGENET_MEAN) if channels == 3 else [0.5],
        "std": list(cards.IMAGENET_STD) if channels == 3 else [0.5],
    }
    return _finish(cards.from_dict({**basis, **facts, "source": "factory"}, "factory"), module)


def _input_channels(module: nn.Module) -> int:
    first = next((m for m in module.modules() if isinstance(m, nn.Conv2d)), None)
    return 1 if first is not None and first.in_channels == 1 else 3


def _random(card: Card, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(card.arch, card.arch_options)


def _finish(card: Card, module: nn.Module) -> Network:
    return Network(dataclasses.replace(card, weights_hash=state_hash(module.state_dict())), module)


def _fit(module: nn.Module, state: State, arch: str) -> None:
    """Load ``state``; if it does not fit, say where (up to five tensors, both shapes) and what would fit."""
    own = module.state_dict()
    optional = {key for key in own if key.endswith("num_batches_tracked")}
    wrong = [key for key in own if key not in optional and (key not in state or state[key].shape != own[key].shape)]
    wrong += [key for key in state if key not in own]
    if not wrong:
        full: Any = type(own)((key, state.get(key, value)) for key, value in own.items())
        full._metadata = own._metadata  # type: ignore[attr-defined]  # versions of the layers, for MNASNet
        module.load_state_dict(full)
        return
    listed = "; ".join(f"{key} is {_shape(state, key, 'the file')} and {_shape(own, key, arch)}" for key in wrong[:5])
    more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    likely = nearest(state)
    hint = (
        f"They look like {likely}: use --arch {likely}."
        if likely and likely != arch
        else "Use the architecture that they were trained for."
    )
    raise ModelError(f"The weights do not fit {arch}: {listed}{more}.", hint)


def _shape(state: State, key: str, where: str) -> str:
    return f"{list(state[key].shape)} in {where}" if key in state else f"missing in {where}"


def _unknown(model: str, arch: str | None) -> ModelError:
    if arch is not None or "/" in model or "\\" in model:
        name = re.split(r"[/\\]", model)[-1][:60]
        return ModelError(
            f"There is no weights file {name!r}.", "Check its name; it ends in .safetensors, .pt or .pth."
        )
    near = difflib.get_close_matches(model.lower(), [*cards.bundled(), *torchvision_names()], 3, 0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "See vizcore models for the names."
    return ModelError(f"There is no network {model[:60]!r}.", hint)
