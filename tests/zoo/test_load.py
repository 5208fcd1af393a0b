"""Names to networks: the bundled ones, torchvision's, files, functions; and what every wrong one says."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision import models as tv

from vizcore.errors import ModelError
from vizcore.layers import find_layer
from vizcore.zoo import architectures, download
from vizcore.zoo.architectures import adapt, build, nearest, torchvision_card, torchvision_names
from vizcore.zoo.card import bundled, to_dict
from vizcore.zoo.load import Network, load, models
from vizcore.zoo.nets import DigitsNet, SmallResNet


def refused(*args: Any, **options: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load(*args, **options)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", bundled())
def test_bundled_networks_are_ready(name: str) -> None:
    net = load(name)
    assert net.card.source == "bundled"
    assert not net.module.training
    assert not any(parameter.requires_grad for parameter in net.module.parameters())
    assert {value.dtype for value in net.module.parameters()} == {torch.float32}
    x = torch.rand(2, net.card.channels, net.card.size, net.card.size)
    assert net.module(net.normalize(x)).shape == (2, len(net.card.classes))
    expected = (x - torch.tensor(net.card.mean).view(1, -1, 1, 1)) / torch.tensor(net.card.std).view(1, -1, 1, 1)
    torch.testing.assert_close(net.normalize(x), expected)
    layer = find_layer(net, net.card.showcase_layer)
    assert max(net.card.showcase_channels) < layer.channels
    assert load(name).card.weights_hash == net.card.weights_hash != load(name, weights="random").card.weights_hash


@pytest.mark.shared
def test_digits_reads_digits(shared: Path) -> None:
    net = load("digits")
    files = [shared / f"data/mnist/MNIST/raw/t10k-{part}-ubyte.gz" for part in ("images-idx3", "labels-idx1")]
    images, labels = (
        torch.frombuffer(bytearray(gzip.decompress(file.read_bytes())), dtype=torch.uint8) for file in files
    )
    x, y = images[16:].view(-1, 1, 28, 28), labels[8:]
    right = sum(
        int((net.module(net.normalize(a / 255)).argmax(1) == b).sum())
        for a, b in zip(x.split(1000), y.split(1000), strict=True)
    )
    assert right / 10_000 == net.card.facts["accuracy"] >= 0.99


def test_all_names_are_listed() -> None:
    entries = {entry.name: entry for entry in models()}
    assert entries["digits"].on_disk
    assert (entries["digits"].classes, entries["digits"].size, entries["digits"].channels) == (10, 28, 1)
    assert len(torchvision_names()) >= 80
    assert set(torchvision_names()) < set(entries)
    assert entries["inception_v3"].size == 299
    assert entries["resnet18"].classes == 1000


def test_random_weights_are_seeded_and_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    a, b, c = (load("squeezenet1_1", weights="random", seed=seed).card.weights_hash for seed in (0, 0, 1))
    assert a == b != c
    assert torch.equal(before, torch.random.get_rng_state())
    assert not list(download.folder().glob("*"))


def test_torchvision_weights_are_fetched_and_fitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.manual_seed(1)
    trained = tv.squeezenet1_1(weights=None).eval()
    path = tmp_path / "squeezenet.pth"
    torch.save(trained.state_dict(), path)
    asked: list[str] = []
    monkeypatch.setattr(download, "fetch", lambda url, progress=None: asked.append(url) or path)
    net = load("squeezenet1_1")
    assert asked == [tv.SqueezeNet1_1_Weights.DEFAULT.url]
    assert (net.card.source, net.card.size, net.card.classes[1]) == ("torchvision", 224, "goldfish")
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(net.module(x), trained(x))


@pytest.mark.parametrize("name", ["googlenet", "mnasnet0_5"])
def test_files_of_torchvision_fit_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """GoogLeNet's has training's extra heads in it; MNASNet's reader asks for the version of the layers."""
    module = tv.get_model(name, weights=None, **({"init_weights": False} if name == "googlenet" else {}))
    path = tmp_path / "x.safetensors"
    save_file(module.state_dict(), path)
    monkeypatch.setattr(download, "fetch", lambda url, progress=None: path)
    state = load(name).module.state_dict()
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in state.items())
    if name == "googlenet":
        assert load(name).module.transform_input  # torchvision sets it together with these weights


def test_old_names_of_densenet() -> None:
    new = {"features.denseblock1.denselayer1.norm1.weight": 1, "features.conv0.weight": 2, "features.norm5.bias": 3}
    old = {"features.denseblock1.denselayer1.norm.1.weight": 1, "features.conv0.weight": 2, "features.norm5.bias": 3}
    assert adapt("densenet121", old) == adapt("densenet121", new) == new  # type: ignore[arg-type]


@pytest.mark.shared
def test_the_real_squeezenet(shared: Path) -> None:
    path = shared / "weights/squeezenet1_0-imagenet.safetensors"
    net = load(str(path), "squeezenet1_0")
    assert (net.card.source, net.card.name, len(net.card.classes)) == ("file", path.name, 1000)
    assert net.card.mean == (0.485, 0.456, 0.406)
    reference = tv.squeezenet1_0(weights=None).eval()
    reference.load_state_dict(load_file(path))
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(net.module(net.normalize(x)), reference(net.normalize(x)))
    error = refused(str(path))
    assert error.hint == "It looks like squeezenet1_0: add --arch squeezenet1_0."
    error = refused(str(path), "squeezenet1_1")
    assert "features.0.weight is [96, 3, 7, 7] in the file and [64, 3, 3, 3] in squeezenet1_1" in error.message
    assert "--arch squeezenet1_0" in error.hint
    assert str(shared) not in str(error)


def test_mismatches_name_five_tensors_with_both_shapes(tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    torch.save(DigitsNet().state_dict(), path)
    error = refused(str(path), "resnet18")
    assert error.message.count(" is ") == 5
    assert "conv1.weight is [16, 1, 5, 5] in the file and [64, 3, 7, 7] in resnet18" in error.message
    assert "missing in the file" in error.message
    assert "more" in error.message
    assert error.hint == "They look like digits: use --arch digits."


@pytest.mark.parametrize("name", ["resnet34", "vgg13", "mobilenet_v3_large"])
def test_the_nearest_architecture(name: str) -> None:
    with torch.device("meta"):
        assert nearest(build(name).state_dict()) == name
    assert nearest({"a": torch.ones(1)}) is None


def test_files_with_other_classes_and_prefixes(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    trained = tv.squeezenet1_1(weights=None, num_classes=7).half()
    torch.save({"state_dict": {f"module.{key}": value for key, value in trained.state_dict().items()}}, path)
    net = load(str(path), "squeezenet1_1")
    assert net.card.classes == tuple(f"class {index}" for index in range(7))
    assert net.module(torch.rand(1, 3, 64, 64)).shape == (1, 7)
    assert next(net.module.parameters()).dtype == torch.float32


def test_a_card_beside_a_file_says_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    torch.save(DigitsNet(3).state_dict(), path)
    card = to_dict(load("digits").card) | {
        "name": "mine",
        "arch_options": {"classes": 3},
        "classes": ["a", "b", "c"],
        "mean": [0.5],
    }
    path.with_suffix(".json").write_text(json.dumps(card))
    net = load(str(path))
    assert (net.card.name, net.card.source, net.card.classes, net.card.mean) == (
        "mine",
        "file",
        ("a", "b", "c"),
        (0.5,),
    )
    path.with_suffix(".json").write_text("{}")
    assert "card" in refused(str(path)).message


def test_names_that_do_not_exist() -> None:
    assert "resnet50" in refused("resnet05").hint
    assert "digits" in refused("digit").hint
    assert "vizcore models" in refused("q").hint
    assert "mine.pt" in refused("/secret/folder/mine.pt").message
    assert "/secret" not in str(refused("/secret/folder/mine.pt"))
    assert "/secret" not in str(refused("/secret/folder/mine", "resnet18"))
    odd = ["", "x" * 5000, "../../etc/passwd", "\0", "<img>", "timm", "a:b:c", "C:\\x.pt", "//host/x.pt", "\ud800.pt"]
    for name in [*odd, "y" * 5000 + ".pt"]:
        assert len(refused(name).message) < 300


def test_unknown_architectures(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(DigitsNet().state_dict(), path)
    assert "resnet50" in refused(str(path), "resnet05").hint


def test_timm_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "vizcore[timm]" in refused("timm:resnet18").hint


FACTORY = """
from torch import nn
open({marker!r}, "w").close()
def net(): return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout())
def carded(): return net(), {{"size": 40, "classes": ["x", "y"], "mean": [0.2], "std": [0.3]}}
def number(): return 3
def broken(): raise RuntimeError("no luck")
"""


def test_functions_are_run_only_when_they_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "factory_of_a_test.py").write_text(FACTORY.format(marker=str(marker)))
    monkeypatch.syspath_prepend(tmp_path)
    assert "command line" in refused("factory_of_a_test:net").message
    assert not marker.exists()
    net = load("factory_of_a_test:net", allow_factory=True)
    assert marker.exists()
    assert (net.card.source, net.card.channels, net.module.training) == ("factory", 1, False)
    carded = load("factory_of_a_test:carded", allow_factory=True).card
    assert (carded.size, carded.classes, carded.mean) == (40, ("x", "y"), (0.2,))
    assert "int" in refused("factory_of_a_test:number", allow_factory=True).message
    assert "no luck" in refused("factory_of_a_test:broken", allow_factory=True).message
    assert "missing_module" in refused("missing_module:net", allow_factory=True).message


def test_networks_move_with_their_normalisation() -> None:
    net = load("digits").to("meta")
    assert isinstance(net, Network)
    assert net.normalize(torch.zeros(1, 1, 28, 28, device="meta")).device.type == "meta"


def test_cards_of_torchvision_are_those_of_its_transforms() -> None:
    for name in torchvision_names():
        card, preset = torchvision_card(name), tv.get_model_weights(name).DEFAULT.transforms()
        assert ([card.size], list(card.mean), list(card.std)) == (preset.crop_size, preset.mean, preset.std)
    for name, layer in architectures._SHOWCASE.items():
        with torch.device("meta"):
            module: nn.Module = build(name, quick=True)
        module.get_submodule(layer)


def test_pooling_halves_what_a_stride_halves() -> None:
    """The same weights and sides; but with pooling each filter is applied everywhere, and the highest stays."""
    strided, pooled = SmallResNet(stem=(8, 3, 1)).eval(), SmallResNet(stem=(8, 3, 1), pool=True).eval()
    pooled.load_state_dict(strided.state_dict())
    x = torch.rand(1, 3, 32, 32)
    for part in (1, 2, 3):
        before = pooled.stem(x) if part == 1 else x
        block = pooled.get_submodule(f"block{part}.down")
        whole = block.bn(torch.nn.functional.conv2d(before, block.conv.weight, padding=1))
        torch.testing.assert_close(block(before), whole.relu().unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)))
        x = pooled.get_submodule(f"block{part}")(before)
        assert x.shape[2] == 32 >> part
    assert pooled(torch.rand(2, 3, 40, 56)).shape == (2, 10)
