"""What an atlas is of, and the address of each of its tiles."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import vizcore
from vizcore.errors import ExportError, SpecError
from vizcore.spec import PARAMS, RunSpec, build

SCHEMA = 1  # of head, manifests and addresses; raised when a field changes its meaning
NAME = "atlas.json"
_FOREIGN = "Choose another folder; nothing in this one was touched."


@dataclass(frozen=True)
class Head:
    """One network and one way to render it.

    Args:
        model, arch: as :func:`vizcore.zoo.load.load` takes them.
        weights_hash: sha256 of the weights: another network under the same name is another atlas.
        settings: the value of every parameter, and the name of the spectrum.
        exact: whether tiles are rendered one by one, in fp32 on one thread, so that their bytes repeat.
    """

    model: str
    arch: str | None
    weights_hash: str
    preset: str
    settings: Mapping[str, Any]
    exact: bool = False

    def spec(self, layer: str, channels: tuple[int, ...]) -> RunSpec:
        """The run that renders these channels."""
        return build(self.model, layer, channels, self.preset, self.arch, **self.settings)

    def address(self, layer: str, channel: int) -> str:
        """The name of a tile: a hash of the canonical recipe, the weights, the layer, the channel and the schema.

        The name of the model is not part of it, so that a file of weights may move.
        """
        facts = [SCHEMA, self.settings, self.exact, self.weights_hash, layer, channel]
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:40]

    def to_json(self) -> bytes:
        """As :data:`NAME` holds it."""
        data = {"schema": SCHEMA, "vizcore": vizcore.__version__, **dataclasses.asdict(self)}
        return json.dumps(data, indent=1, sort_keys=True).encode() + b"\n"


def settings_of(spec: RunSpec) -> dict[str, Any]:
    """All values of a spec that are not about which filter of which network it is."""
    return {name: getattr(spec, name) for name in (*PARAMS, "spectrum")}


def read(data: bytes) -> Head:
    """The head in the bytes of :meth:`Head.to_json`.

    Raises:
        ExportError: damaged, or from a newer vizcore.
    """
    try:
        values = json.loads(data)
        schema = values.pop("schema")
        values.pop("vizcore")
        if schema > SCHEMA:
            raise ExportError("The atlas is from a newer vizcore.", "Update vizcore to open it.")
        head = Head(**values)
        head.spec("", (0,))  # checks every setting
    except (ValueError, TypeError, KeyError, AttributeError, SpecError) as error:
        raise ExportError("The atlas's atlas.json is damaged.", "Choose another folder.") from error
    return head


def check_same(there: Head, wanted: Head) -> None:
    """Raise :class:`ExportError` unless tiles of ``wanted`` may join those of ``there``."""
    if there.weights_hash != wanted.weights_hash:
        raise ExportError(f"There is an atlas of another network, {there.model[:60]}, in that folder.", _FOREIGN)
    differ = [name for name in wanted.settings if there.settings.get(name) != wanted.settings[name]]
    if differ:
        name = differ[0]
        has, asked = there.settings.get(name), wanted.settings[name]
        raise ExportError(
            f"The atlas in that folder was made with other settings: {name} is {has} there and {asked} here.", _FOREIGN
        )
    if there.exact != wanted.exact:
        ways = ("without --exact", "with --exact")
        raise ExportError(f"The atlas in that folder was made {ways[there.exact]}.", _FOREIGN)
