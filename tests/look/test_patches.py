"""Top patches against all activations at once, resuming, the cache, crops; and what they say of synthetic pictures."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from PIL import Image

from tests.look import nets
from tests.tiny import network as tiny
from vizcore.errors import LayerError, PictureError
from vizcore.layers import Cut, find_views
from vizcore.look import naturals, store
from vizcore.look.attribution import attribute
from vizcore.look.collections import Collection, collect
from vizcore.look.patches import crop, field_of, patches
from vizcore.look.ranks import ranks, spearman
from vizcore.look.sanity import cascade
from vizcore.look.tally import BINS, TOP, Tally
from vizcore.look.units import Unit, tensor
from vizcore.zoo.load import Network, load

COUNT = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("data")
    for i in range(COUNT):
        label = folder / "abc"[i % 3]
        label.mkdir(exist_ok=True)
        Image.fromarray(nets.picture(20, 24, i)).save(label / f"{i:02}.png")
    (folder / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return collect(folder)


def everything(net: Network, data: Collection, layer: str) -> tuple[np.ndarray, list[int]]:
    """All activations of all sound pictures, ``[N, C, H, W]``, and the pictures' numbers."""
    sound = [i for i, name in enumerate(data.names) if "broken" not in name]
    with torch.no_grad():
        output = Cut(net.module, [layer])(tensor(net, *(data.read(i) for i in sound)))[layer].numpy()
    return output if output.ndim == 4 else output[:, :, None, None], sound


@pytest.mark.parametrize("layer", ["conv2", "relu1", "fc"])
def test_the_record_is_that_of_all_activations_at_once(layer: str, data: Collection) -> None:
    net = tiny()
    tally = Tally(net, data, layer)
    assert tally.classes == ("a", "b", "c")
    record = tally.run()
    output, sound = everything(net, data, layer)
    peaks = output.max((2, 3))
    assert (record.done, record.skipped, list(record.broken)) == (COUNT + 1, 1, ["a/broken.png"])
    for channel in range(output.shape[1]):
        order = np.argsort(-peaks[:, channel], kind="stable")[:TOP]
        np.testing.assert_allclose(record.values[channel], peaks[order, channel], rtol=1e-5, atol=1e-6)
        assert record.items[channel].tolist() == [sound[i] for i in order]
        assert len(set(record.items[channel].tolist())) == TOP  # one entry per picture
        for place, i in enumerate(order):
            at = output[i, channel, record.ys[channel, place], record.xs[channel, place]]
            assert at == pytest.approx(peaks[i, channel], rel=1e-5, abs=1e-6)
    assert record.total == output.shape[0] * output.shape[2] * output.shape[3]
    np.testing.assert_allclose(record.sums, output.sum((0, 2, 3)), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(record.sparsity, (output <= 0).mean((0, 2, 3)), atol=1e-4)
    assert record.histogram.shape == (output.shape[1], BINS)
    labels = np.array([data.labels[i] for i in sound])
    means = np.stack([np.maximum(output, 0).mean((2, 3))[labels == label].mean(0) for label in tally.classes])
    index, best = record.selectivity()
    assert best.tolist() == means.argmax(0).tolist()
    rest = (means.sum(0) - means.max(0)) / 2
    np.testing.assert_allclose(index, (means.max(0) - rest) / (means.max(0) + rest + 1e-12), rtol=1e-3, atol=1e-4)


def test_histograms_count_like_numpy(data: Collection) -> None:
    net = tiny()
    record = Tally(net, data, "conv2", keep=False).run()
    output, _ = everything(net, data, "conv2")
    edges = np.linspace(record.low, record.high, BINS + 1)
    for channel in range(6):
        wanted, _ = np.histogram(output[:, channel].clip(edges[0], edges[-1]), edges)
        assert np.abs(record.histogram[channel] - wanted).sum() <= 4  # a value on an edge may go either way
        assert record.histogram[channel].sum() == record.total


def test_dead_units_are_found(data: Collection) -> None:
    net = tiny()
    net.module.conv1.bias.data[2] = -100
    record = Tally(net, data, "relu1", keep=False).run()
    assert record.dead.tolist() == [False, False, True, False]
    assert record.sparsity[2] == 1


def test_a_tally_that_was_stopped_goes_on_where_it_was(data: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    net = tiny()
    whole = Tally(net, data, "conv2", keep=False).run()
    monkeypatch.setattr("vizcore.look.tally._BATCH_PIXELS", 0)  # four pictures at a time
    seen = []
    for progress in Tally(net, data, "conv2"):
        seen.append(progress.done)
        if len(seen) == 3:
            break
    again = Tally(net, data, "conv2")
    assert again.record.done == seen[-1] < COUNT
    assert not again.finished
    counts = [progress.done for progress in again]
    assert counts[0] > seen[-1]
    assert again.finished
    np.testing.assert_allclose(again.record.values, whole.values, rtol=1e-5)
    assert np.array_equal(again.record.items, whole.items)
    np.testing.assert_allclose(again.record.class_sums, whole.class_sums, rtol=1e-4)
    third = Tally(net, data, "conv2")
    assert third.finished
    assert list(third) == []


def test_the_cache_knows_what_it_depends_on(data: Collection, home: Path) -> None:
    net = tiny()
    Tally(net, data, "conv2").run()
    assert len(list(store.folder().iterdir())) == 1
    assert store.folder() == home / "patches"
    assert not Tally(net, data, "conv2", 24).record.done
    assert not Tally(net, data, "conv1").record.done
    assert not Tally(net, collect(data.source, "/a/"), "conv2").record.done
    other = tiny(seed=1)
    object.__setattr__(other.card, "weights_hash", "another")
    assert not Tally(other, data, "conv2").record.done
    assert Tally(net, data, "conv2").finished
    [file] = store.folder().iterdir()
    for junk in (b"", b"PK\x03\x04", file.read_bytes()[:300]):
        file.write_bytes(junk)
        assert not Tally(net, data, "conv2").record.done


def test_a_cache_that_cannot_be_written_costs_nothing_else(data: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIZCORE_HOME", "/proc/nowhere")
    assert Tally(tiny(), data, "conv2").run().done == COUNT + 1


def test_only_broken_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(PictureError, match="Not one"):
        Tally(tiny(), collect(tmp_path), "conv2").run()


def test_patches_are_cut_where_the_unit_looks(data: Collection) -> None:
    net = tiny()
    tally = Tally(net, data, "conv2")
    tally.run()
    found = patches(tally, 3)
    assert [patch.value for patch in found] == sorted((patch.value for patch in found), reverse=True)
    for patch in found:
        assert patch.reproduced == pytest.approx(patch.value, rel=1e-5)
        assert (patch.box[0], patch.box[1]) == (2 * patch.y - 1, 2 * patch.x - 1)
        assert patch.pixels.shape == (5, 5, 3)
        assert patch.projection is not None
        assert patch.projection.shape == (3, 5, 5)
        assert np.abs(patch.projection).max() > 0
    with pytest.raises(LayerError, match="no filter 6"):
        patches(tally, 6)
    assert patches(tally, 3, rule=None)[0].projection is None


def test_a_patch_alone_gives_the_recorded_activation() -> None:
    """The unit depends on its receptive field and nothing else: what is outside of the crop does not matter."""
    net = nets.random("alexnet", 96)
    picture = nets.picture(96, 96, 3)
    views = find_views(net, "features.3")
    with torch.no_grad():
        maps = Cut(net.module, ["features.3"])(tensor(net, picture))["features.3"][0]
    y, x = 5, 4
    top, left, bottom, right = field_of(views[7], y, x, 96)
    assert (bottom - top, right - left) == (51, 51)
    other = 255 - picture
    other[max(top, 0) : bottom, max(left, 0) : right] = picture[max(top, 0) : bottom, max(left, 0) : right]
    with torch.no_grad():
        again = Cut(net.module, ["features.3"])(tensor(net, other))["features.3"][0]
    assert float(again[7, y, x]) == pytest.approx(float(maps[7, y, x]), rel=1e-4)
    assert float(again[7, y + 1, x]) != pytest.approx(float(maps[7, y + 1, x]), rel=1e-4)


def test_crops_are_filled_outside() -> None:
    picture = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    found = crop(picture, (-2, 3, 2, 7), 9)
    assert found.shape == (4, 4, 3)
    assert np.array_equal(found[2:, :2], picture[:2, 3:])
    assert (found[:2] == 9).all()
    assert (found[:, 2:] == 9).all()
    assert field_of(None, 3, 3, 16) == (0, 0, 16, 16)


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path: Path) -> None:
    """Peak memory over 600 and over 3,000 pictures of a zip, in processes of their own."""
    picture = tmp_path / "a.png"
    Image.fromarray(nets.picture(32, 32)).save(picture)
    peaks = []
    for count in (600, 3000):
        with zipfile.ZipFile(tmp_path / f"{count}.zip", "w") as archive:
            for i in range(count):
                archive.writestr(f"{i % 10}/{i}.png", picture.read_bytes())
        code = (
            "import resource, sys; from tests.tiny import network; from vizcore.look.collections import collect; "
            "from vizcore.look.tally import Tally; Tally(network(), collect(sys.argv[1]), 'conv2', keep=False).run();"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / f"{count}.zip")], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 30  # MiB; 2,400 pictures more would be 30 MiB as floats alone


# What real pictures say of a synthetic one ------------------------------------------------------------------------


def test_ranks_and_correlation_are_scipys() -> None:
    generator = np.random.default_rng(0)
    for _ in range(5):
        a, b = generator.integers(0, 20, 200), generator.normal(size=200)
        np.testing.assert_array_equal(ranks(a) + 1, scipy.stats.rankdata(a))
        assert spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    assert spearman(np.ones(5), np.arange(5)) == 0


def test_a_real_picture_is_as_exciting_as_itself(data: Collection) -> None:
    net = tiny()
    tally = Tally(net, data, "relu2")
    record = tally.run()
    channel = int(record.values[:, 0].argmax())
    from vizcore.look.pictures import fit

    best = fit(data.read(int(record.items[channel, 0])), 16)
    unit = Unit("relu2", channel)
    assert naturals.relative(net, best, unit, record) == pytest.approx(1, rel=1e-5)
    assert naturals.relative(net, best, Unit("relu2", channel), record) != 2
    shares = naturals.held_out(net, best, unit)
    assert set(shares) == {"shift 8 px", "rotate 10°", "scale 0.9 and 1.1", "JPEG 75", "noise 0.05", "blur 1 px"}
    assert all(0 < share < 2 for share in shares.values())
    flat = np.full((16, 16, 3), 90, np.uint8)
    net.module.conv1.weight.data.zero_()  # what sees nothing is changed by nothing
    same = naturals.held_out(net, flat, Unit("conv1", int(net.module.conv1.bias.argmax())))
    assert all(share == pytest.approx(1) for share in same.values())


def test_the_path_of_a_picture_is_like_that_of_its_likes() -> None:
    net = nets.random("alexnet", 64)
    likes = [np.roll(nets.picture(64, 64, 5), shift, 0) for shift in (0, 1, 2)]
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    far = naturals.path_similarity(net, noise, likes)
    close = naturals.path_similarity(net, np.roll(likes[0], 3, 0), likes)
    assert far[0].layer == "features.0"
    assert len(far) == 8
    for a, b in zip(far, close, strict=True):
        assert a.natural == b.natural
        assert a.synthetic < b.synthetic or a.layer.startswith("classifier")  # random ones follow their biases
    same = naturals.path_similarity(net, likes[0], [likes[0], likes[0]])
    assert all(item.synthetic == pytest.approx(1) and item.natural == pytest.approx(1) for item in same)
    assert naturals.path_similarity(net, noise, likes, "features.6")[-1].layer == "features.6"


# Sanity checks ----------------------------------------------------------------------------------------------------


def digit() -> np.ndarray:
    """A seven: two strokes."""
    image = np.zeros((28, 28, 3), np.uint8)
    image[6:9, 7:21] = 255
    for y in range(9, 23):
        x = 19 - (y - 9) // 2
        image[y, x - 1 : x + 2] = 255
    return image


def test_cascading_randomisation_tells_methods_apart() -> None:
    """On the bundled digits: the gradient forgets what was learnt, guided backpropagation keeps the picture's edges."""
    net = load("digits")
    before = nets.state(net.module)
    with torch.no_grad():
        top = int(net.module(tensor(net, digit()))[0].argmax())
    curves = {
        method: [
            np.mean([p.absolute for p in points])
            for points in zip(
                *(list(cascade(net, digit(), Unit("", top), method, seed=s)) for s in range(4)), strict=True
            )
        ]
        for method in ("saliency", "guided", "input-gradient")
    }
    for curve in curves.values():
        assert curve[0] == 1
        assert len(curve) == 1 + 4  # four layers have weights
    assert curves["guided"][-1] > curves["saliency"][-1]
    assert curves["saliency"][-1] < 0.5
    assert nets.state(net.module) == before
    first, *rest = cascade(net, digit(), Unit("", top), "saliency")
    assert first.layer == ""
    assert [p.layer for p in rest][-1] == "conv1"
    assert list(cascade(net, digit(), Unit("", top), "saliency", seed=1)) == list(
        cascade(net, digit(), Unit("", top), "saliency", seed=1)
    )
    assert [p.layer for p in cascade(net, digit(), Unit("conv2", 3), "saliency")] == ["", "conv2", "conv1"]


def test_what_a_unit_cannot_see_does_not_count_as_likeness() -> None:
    """A neuron of the first layer sees 5 by 5 of 28 by 28 pixels: the others are 0 in every map."""
    net, unit = load("digits"), Unit("conv1", 3, 9, 9)
    points = list(cascade(net, digit(), unit, "saliency"))
    first = attribute(net, digit(), unit, "saliency").values
    assert (first != 0).mean() < 0.1
    assert points[-1].absolute < 0.8
