"""Loaded networks: the few that were used last stay in memory, loading happens beside the steps."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from vizcore.layers import list_layers
from vizcore.zoo.card import OWN, WEIGHTS, default_size, to_dict, trained
from vizcore.zoo.load import Network, load, models

Key = tuple[str, str | None]
Note = Callable[[str, str | None], None]


class Networks:
    """The last few networks on the device.

    Args:
        device: where they live.
        note: told ``(model, sentence)`` while one is fetched and ``(model, None)`` when it is there or failed.
        keep: how many stay.
        files: the weights files that may be loaded.
    """

    def __init__(self, device: str, note: Note, keep: int = 3, files: Sequence[str] = ()) -> None:
        self._device = device
        self._note = note
        self._keep = keep
        self._files = files
        self._loaded: OrderedDict[Key, Network] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._stamps: dict[str, float] = {}
        self._models: list[dict[str, Any]] | None = None

    def ready(self, model: str, arch: str | None) -> Network | None:
        """The network if it is loaded; costs nothing."""
        key = self._key(model, arch)
        with self._lock:
            found = self._loaded.get(key)
            if found is not None and self._stamps.get(model) != _stamp(model):
                del self._loaded[key]  # it has learnt more since
                return None
            if found is not None:
                self._loaded.move_to_end(key)
            return found

    def _key(self, model: str, arch: str | None) -> Key:
        """Only a file needs an architecture: a network with a name is one, whatever is said beside it."""
        return model, arch if model in self._files else None

    def get(self, model: str, arch: str | None) -> Network:
        """The network, loaded if need be; one at a time, so that one name is never loaded twice.

        Raises:
            ModelError: what :func:`vizcore.zoo.load.load` raises, or a file that may not be loaded.
        """
        with self._loading:
            found = self.ready(model, arch)
            if found is not None:
                return found
            self._note(model, "loading the network")
            stamp = _stamp(model)  # before the file is read: a newer one is loaded again
            try:
                network = load(
                    *self._key(model, arch), allow_file=model in self._files,
                    progress=lambda done, total: self._note(model, _progress(done, total)),
                )  # fmt: skip
                network = network.to(self._device)
                self._stamps[model] = stamp
            finally:
                self._note(model, None)
            with self._lock:
                self._loaded[self._key(model, arch)] = network
                while len(self._loaded) > self._keep:
                    self._loaded.popitem(last=False)
            return network

    def models(self) -> list[dict[str, Any]]:
        """Every network that can be loaded, as plain values."""
        if self._models is None:
            self._models = [dataclasses.asdict(entry) for entry in models()]
        return self._models

    def describe(self, network: Network) -> dict[str, Any]:
        """Card, layers at the default size, default size and device, as plain values."""
        size = default_size(network.card, self._device)
        layers = [dataclasses.asdict(layer) for layer in list_layers(network, size)]
        return {"card": to_dict(network.card), "layers": layers, "default_size": size, "device": self._device}


def _stamp(model: str) -> float:
    """When a network that is trained here was written last; 0 for any other."""
    folder = trained().get(model) if model.startswith(OWN) else None
    try:
        return (folder / WEIGHTS).stat().st_mtime if folder is not None else 0.0
    except OSError:
        return 0.0


def _progress(done: int, total: int | None) -> str:
    if total:
        return f"fetching the weights: {done / 2**20:.0f} of {total / 2**20:.0f} MB ({100 * done // total} %)"
    return f"fetching the weights: {done / 2**20:.0f} MB"
