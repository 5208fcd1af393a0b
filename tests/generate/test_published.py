"""Published layouts, on random weights: the keys and shapes of the files, and what comes out of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vizcore.errors import GeneratorError
from vizcore.generate import published
from vizcore.generate.names import open_generator

# Names and shapes of the published state dicts (circuit_toolkit's GAN_utils.py), widths and all.
FC6 = {
    "defc7": (4096, 4096), "defc6": (4096, 4096), "defc5": (4096, 4096), "deconv5": (256, 256, 4, 4),
    "conv5_1": (256, 512, 3, 3), "deconv4": (512, 256, 4, 4), "conv4_1": (256, 256, 3, 3),
    "deconv3": (256, 128, 4, 4), "conv3_1": (128, 128, 3, 3), "deconv2": (128, 64, 4, 4), "deconv1": (64, 32, 4, 4),
    "deconv0": (32, 3, 4, 4),
}  # fmt: skip
POOL5 = {
    "Rconv6": (512, 256, 3, 3), "Rconv7": (512, 512, 3, 3), "Rconv8": (512, 512, 3, 3), "deconv5": (512, 256, 4, 4),
    **{key: FC6[key] for key in list(FC6)[4:]},
}  # fmt: skip


@pytest.mark.parametrize(("net", "shapes"), [("fc6", FC6), ("fc7", FC6), ("pool5", POOL5)])
def test_the_layers_are_those_of_the_published_files(net: str, shapes: dict[str, tuple[int, ...]]) -> None:
    with torch.device("meta"):
        own = published.layers(net).state_dict()
    assert {key: tuple(value.shape) for key, value in own.items() if key.endswith("weight")} == {
        f"{key}.weight": shape for key, shape in shapes.items()
    }


@pytest.mark.parametrize("net", published.NETS)
def test_a_state_dict_loads_under_every_name_of_its_layers(net: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = published.layers(net, 1 / 32)
    state = {f"G.{key.replace('.', '.1.', 1)}": value for key, value in module.state_dict().items()}
    torch.save(state, tmp_path / "net.pt")
    found = published.deepsim(net, tmp_path / "net.pt", 1 / 32)
    found.check()
    code = found.sample(2, 0)
    with torch.no_grad():
        bgr = module(code) + torch.tensor([104.0, 117.0, 123.0])[:, None, None]
        picture = found.decode(code)
    assert picture.shape == (2, 3, 256, 256)
    assert torch.allclose(picture[:, 0], (bgr[:, 2] / 255).clamp(0, 1))
    assert found.encode(picture) is None
    assert found.prior(code) is None


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    torch.save(published.layers("fc8", 1 / 32).state_dict(), tmp_path / "fc8.pt")
    with pytest.raises(GeneratorError, match=r"do not fit DeePSiM fc6: defc7.weight"):
        published.deepsim("fc6", tmp_path / "fc8.pt", 1 / 32)
    with pytest.raises(GeneratorError, match="no DeePSiM generator"):
        open_generator(f"deepsim:fc9={tmp_path / 'fc8.pt'}")


class Halver(nn.Module):
    """As diffusers' AutoencoderTiny is called: latents at an eighth of the size."""

    config = SimpleNamespace(latent_channels=4, encoder_block_out_channels=(8, 8, 8, 8))

    def encode(self, x: torch.Tensor) -> SimpleNamespace:
        assert float(x.min()) >= -1
        small = nn.functional.avg_pool2d(x, 8)
        return SimpleNamespace(latents=torch.cat([small, small[:, :1]], 1))

    def decode(self, code: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=nn.functional.interpolate(code[:, :3], scale_factor=8))


def test_taesd_has_both_directions_in_the_range_of_pictures() -> None:
    found = published.Taesd(Halver(), 64)
    found.check()
    assert found.code_shape == (4, 8, 8)
    flat = torch.full((1, 3, 64, 64), 0.8)
    assert torch.allclose(found.decode(found.encode(flat)), flat)
    assert found.prior(found.encode(flat)) is not None


def test_diffusers_own_layout_loads(tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    torch.manual_seed(0)
    diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8)
    ).save_pretrained(tmp_path)
    found = open_generator(f"taesd={tmp_path}")
    found.check()
    assert found.image_size == (224, 224)


def test_without_diffusers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(GeneratorError, match="not installed") as caught:
        published.taesd()
    assert 'pip install "vizcore[taesd]"' in caught.value.hint


def test_an_unknown_generator_is_named_with_what_there_is() -> None:
    with pytest.raises(GeneratorError, match="no generator 'digits-genrator'"):
        open_generator("digits-genrator")
