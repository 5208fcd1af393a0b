"""A generator on disk: ``weights.safetensors`` and ``generator.json``, each whole or not there.

::

    encoder.*  decoder.*  denoiser.*  image_denoiser.*     the networks
    stats.mean  stats.std  stats.lower  stats.upper        of the code
    stats.spread                                           along the main axes, which decoder.dense.0 holds
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as packed

from vizcore.errors import GeneratorError, ModelError
from vizcore.export import write_atomically
from vizcore.generate.generator import Autoencoder, Axes, CodeStats
from vizcore.generate.nets import CodeDenoiser, Decoder, ImageDenoiser
from vizcore.generate.shelf import CARD as CARD
from vizcore.generate.shelf import WEIGHTS as WEIGHTS
from vizcore.generate.shelf import bundled as bundled
from vizcore.zoo import architectures
from vizcore.zoo import card as cards
from vizcore.zoo.load import Network
from vizcore.zoo.weights import read_state

_STATS = ("mean", "std", "lower", "upper")
_FIELDS = ("name", "title", "kind", "encoder", "layer", "decoder", "denoisers", "code_shape", "sha256")


def save(folder: Path, generator: Autoencoder, title: str, decoder: Mapping[str, int],
         facts: Mapping[str, Any]) -> None:  # fmt: skip
    """Write ``generator``; weights in half precision, those of the encoder, on which codes depend, if nothing is lost.

    Args:
        decoder: ``hidden`` and ``width`` of its :class:`Decoder`.
        facts: whatever else the card is to say.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {f"encoder.{key}": _halved(value) for key, value in generator.encoder.module.state_dict().items()}
    parts = {"decoder": generator.decoder, "denoiser": generator.denoiser, "image_denoiser": generator.image_denoiser}
    for part, module in parts.items():
        if module is not None:
            state |= {f"{part}.{key}": value.half() for key, value in module.state_dict().items()}
    state |= {f"stats.{key}": getattr(generator.stats, key) for key in _STATS}
    if generator.axes is not None:
        state["stats.spread"] = generator.axes.spread
    data = packed({key: value.detach().cpu().contiguous() for key, value in state.items()})
    encoder = cards.to_dict(dataclasses.replace(generator.encoder.card, facts={}))
    card = {
        "name": generator.name, "title": title, "kind": "autoencoder", "encoder": encoder, "layer": generator.layer,
        "decoder": dict(decoder), "denoisers": [part for part in list(parts)[1:] if parts[part] is not None],
        "code_shape": list(generator.code_shape), **facts, "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    write_atomically(folder / WEIGHTS, data)
    write_atomically(folder / CARD, (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())


def load(folder: Path) -> Autoencoder:
    """The generator in ``folder``, checked.

    Raises:
        GeneratorError: card or weights are missing or damaged, or do not fit each other.
    """
    card = _read(folder / CARD)
    try:
        state = read_state(folder / WEIGHTS)
    except ModelError as error:
        raise GeneratorError(error.message, error.hint) from None
    try:
        encoder_card = cards.from_dict(card["encoder"])
        layer, shape = str(card["layer"]), tuple(int(side) for side in card["code_shape"])
        options = {key: int(card["decoder"][key]) for key in ("hidden", "width")}
        denoisers = [str(part) for part in card.get("denoisers", [])]
        network = architectures.build(encoder_card.arch, encoder_card.arch_options, quick=True)
    except (KeyError, TypeError, ValueError, ModelError):
        raise GeneratorError(
            "The generator's card cannot be used.", "See models/digits-generator for an example."
        ) from None
    _fill(network, state, "encoder")
    stats = CodeStats(*(_tensor(state, f"stats.{key}") for key in _STATS))
    if tuple(stats.mean.shape) != shape:
        raise GeneratorError(
            f"The card says that codes are {list(shape)}, the weights that they are {list(stats.mean.shape)}.",
            "Use the card and the weights that belong together.",
        )
    decoder = Decoder(stats.mean.numel(), encoder_card.channels, encoder_card.size, **options)
    _fill(decoder, state, "decoder")
    denoiser, image_denoiser = None, None
    if "denoiser" in denoisers:
        denoiser = CodeDenoiser(shape)
        _fill(denoiser, state, "denoiser")
    if "image_denoiser" in denoisers:
        image_denoiser = ImageDenoiser(encoder_card.channels)
        _fill(image_denoiser, state, "image_denoiser")
    facts = {key: value for key, value in card.items() if key not in _FIELDS}
    found = Autoencoder(
        str(card.get("name", folder.name)), Network(encoder_card, network), layer, decoder, stats, denoiser,
        image_denoiser, facts, _axes(state, decoder),
    )  # fmt: skip
    found.check()
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise GeneratorError(
            "There is no generator in this folder.",
            f"It needs {CARD} and {WEIGHTS}, as vizcore train-generator writes.",
        ) from None
    if not isinstance(found, dict):
        raise GeneratorError("The generator's card cannot be used.", "See models/digits-generator for an example.")
    return found


def _tensor(state: Mapping[str, torch.Tensor], key: str) -> torch.Tensor:
    if key not in state:
        raise GeneratorError(f"The generator's weights lack {key}.", "Use the weights that belong to the card.")
    return state[key].float()


def _axes(state: Mapping[str, torch.Tensor], decoder: Decoder) -> Axes | None:
    if "stats.spread" not in state:
        return None
    spread, units = _tensor(state, "stats.spread"), decoder.axes()
    if spread.ndim != 1 or len(spread) > len(units):
        raise GeneratorError(
            f"There are {spread.numel()} spreads of a code that is seen along {len(units)} axes.",
            "Use the card and the weights that belong together.",
        )
    return Axes(units[: len(spread)], spread)


def _halved(value: torch.Tensor) -> torch.Tensor:
    """In half precision where every number stays what it is."""
    if value.dtype != torch.float32:
        return value
    half = value.half()
    return half if torch.equal(half.float(), value) else value


def _fill(module: torch.nn.Module, state: Mapping[str, torch.Tensor], part: str) -> None:
    """Load the tensors under ``part``; raises :class:`GeneratorError` where they do not fit, naming the first."""
    own = module.state_dict()
    values = {}
    for key, value in own.items():
        found = state.get(f"{part}.{key}")
        if found is None or found.shape != value.shape:
            there = "missing" if found is None else str(list(found.shape))
            raise GeneratorError(
                f"The generator's {part} does not fit its card: {key} is {there}, not {list(value.shape)}.",
                "Use the card and the weights that belong together.",
            )
        values[key] = found.to(value.dtype)
    module.load_state_dict(values)
