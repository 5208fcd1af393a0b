"""Which networks the engine loads, whoever names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vizcore.engine.networks import Networks
from vizcore.errors import ModelError
from vizcore.zoo.card import bundled

OWN = str(bundled()["digits"] / "weights.safetensors")


def networks(*files: str) -> Networks:
    return Networks("cpu", lambda model, note: None, files=files)


@pytest.mark.parametrize(("model", "arch"), [(OWN, None), (OWN, "digits"), ("../x.pt", "resnet18")])
def test_a_file_is_refused_unless_the_server_was_started_with_it(model: str, arch: str | None) -> None:
    with pytest.raises(ModelError, match="command line"):
        networks("another.safetensors").get(model, arch)


def test_what_is_not_named_like_weights_is_not_even_looked_for(tmp_path: Path) -> None:
    present, absent = tmp_path / "present", tmp_path / "absent"
    present.write_bytes(b"x")
    said = []
    for path in (present, absent):
        with pytest.raises(ModelError) as error:
            networks().get(str(path), "resnet18")
        said.append(error.value.message.replace(path.name, "NAME"))
    assert said[0] == said[1]


def test_the_servers_own_file_is_loaded() -> None:
    assert networks(OWN).get(OWN, None).card.channels == 1


def test_a_function_is_never_called() -> None:
    with pytest.raises(ModelError, match="command line"):
        networks("os:getcwd").get("os:getcwd", None)


def test_an_architecture_beside_a_name_makes_no_second_network() -> None:
    loaded = networks()
    assert loaded.get("digits", "resnet18") is loaded.get("digits", None)
