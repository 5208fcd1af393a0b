"""Readers of data sets: pictures and labels as they were written, and clear words for what is none."""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.train import samples
from vizcore.errors import DownloadError, PictureError, SpecError
from vizcore.train.data import efl, open_dataset, split
from vizcore.train.data.parts import Dataset, Part, fitted
from vizcore.zoo import download


def test_letters_are_bitmaps_with_noise_in_a_square() -> None:
    part = efl.generate(200, seed=3)
    assert part.images.shape == (600, 1, 7, 7)
    assert part.labels.bincount().tolist() == [200] * 3
    values = part.images.float()[:, 0] / 255 * efl.WHITE
    assert (values[:, :, [0, 6]] == 0).all()
    e = values[:200, :, 1:6]
    strokes = torch.tensor([[dot == "#" for dot in line] for line in efl.LETTERS["E"]])
    assert float(e[:, strokes].mean()) == pytest.approx(1, abs=0.01)
    assert float(e[:, strokes].std()) == pytest.approx(0.2, abs=0.01)
    # Half of the noise on paper is cut: the mean of max(0, N(0, 0.2)) is 0.2 / sqrt(2 pi).
    assert float(e[:, ~strokes].mean()) == pytest.approx(0.2 / np.sqrt(2 * np.pi), abs=0.005)
    assert not torch.equal(efl.generate(200, seed=4).images, part.images)
    assert torch.equal(efl.generate(200, seed=3).images, part.images)


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files(tmp_path: Path, packed: bool) -> None:
    images = samples.idx(tmp_path / "MNIST" / "raw", packed=packed)
    found = open_dataset("mnist", tmp_path)
    assert found.train is not None
    assert found.test is not None
    assert np.array_equal(found.train.images[:, 0].numpy(), images["train"])
    assert found.train.labels.tolist() == [i % 10 for i in range(20)]
    assert (len(found.test), found.channels, found.size, found.mean) == (10, 1, 28, (0.1307,))


def test_mat_files(tmp_path: Path) -> None:
    images = samples.svhn(tmp_path)
    found = open_dataset("svhn", tmp_path)
    assert found.train is not None
    assert found.train.labels.tolist() == [1, 2, 0, 1]
    assert np.array_equal(found.train.images.numpy(), images.transpose(3, 2, 0, 1))


@pytest.mark.parametrize(
    ("spelling", "name"), [("fer2013", "fer2013.csv"), ("icml", "icml_face_data.csv"), ("train", "train.csv")]
)
def test_faces_in_three_spellings(tmp_path: Path, spelling: str, name: str) -> None:
    faces = samples.fer_csv(tmp_path / name, spelling)
    for source in (tmp_path, tmp_path / name):
        found = open_dataset("fer2013", source)
        assert found.train is not None
        assert found.classes[6] == "neutral"
        train = len(faces) if spelling == "train" else len(faces) - 2
        assert np.array_equal(found.train.images[:, 0].numpy(), faces[:train])
        assert found.train.labels.tolist() == list(range(train))
        if spelling != "train":
            assert found.validate is not None
            assert found.test is not None
            assert np.array_equal(found.validate.images[0, 0].numpy(), faces[-2])  # public
            assert np.array_equal(found.test.images[0, 0].numpy(), faces[-1])  # private


def test_faces_in_folders_keep_public_and_private_apart(tmp_path: Path) -> None:
    for name in ("train/angry/Training_1", "train/sad/Training_2", "test/angry/PublicTest_3", "test/sad/PrivateTest_4"):
        path = tmp_path / "f" / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(samples.striped(0, 48)).save(path)
    found = open_dataset("fer2013", tmp_path / "f")
    assert (found.size, found.channels) == (48, 1)
    assert found.train is not None
    assert found.validate is not None
    assert found.test is not None
    assert found.train.labels.tolist() == [0, 4]  # Kaggle's numbers, not the alphabet's
    assert [part.names[0].rpartition("/")[2][:6] for part in (found.validate, found.test)] == ["Public", "Privat"]


@pytest.mark.parametrize("form", ["archive", "folder"])
def test_binary_cifar(tmp_path: Path, form: str) -> None:
    first = samples.cifar(tmp_path / "cifar-10-binary.tar.gz")
    found = open_dataset("cifar10", tmp_path if form == "folder" else tmp_path / "cifar-10-binary.tar.gz")
    assert found.train is not None
    assert found.test is not None
    assert (len(found.train), len(found.test)) == (50, 10)
    assert np.array_equal(found.train.images[:10].reshape(10, -1).numpy(), first[:, 1:])
    assert found.classes[int(found.train.labels[3])] == "cat"


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_class_folders_and_zips_of_them(tmp_path: Path, form: str) -> None:
    root = samples.tree(tmp_path / "two", count=3)
    (root / "train" / "a" / "broken.png").write_bytes(b"\x89PNG")
    found = open_dataset(str(samples.zipped(root) if form == "zip" else root))
    assert found.train is not None
    assert found.test is not None
    assert (len(found.train), len(found.test), found.size, found.channels) == (6, 6, 16, 3)
    assert (found.classes, found.skipped) == (("a", "b"), 1)
    row = found.train.names.index(next(name for name in found.train.names if name.endswith("train/b/1.png")))
    assert found.train.labels[row] == 1
    assert np.array_equal(found.train.images[row].numpy().transpose(1, 2, 0), samples.striped(1, 16, 1))
    mean = found.train.images.double().div(255).mean((0, 2, 3))
    assert found.mean == pytest.approx(mean.tolist(), abs=1e-4)


def test_mixed_sizes_and_colour_modes_become_one(tmp_path: Path) -> None:
    root = samples.tree(tmp_path / "t", count=2, parts=("",))
    Image.new("L", (90, 40), 128).save(root / "a" / "grey.png")
    Image.new("CMYK", (30, 50)).save(root / "b" / "print.jpg")
    Image.new("RGBA", (20, 20), (1, 2, 3, 0)).save(root / "b" / "clear.png")
    found = open_dataset(str(root))
    assert found.train is not None
    assert found.train.images.shape == (7, 3, 64, 64)
    assert open_dataset(str(root), size=32, channels=1).any.images.shape == (7, 1, 32, 32)


def test_a_split_holds_back_a_share_of_each_class() -> None:
    part = Part(torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1), torch.arange(100) // 50, ())
    rest, held = split(part, 0.1, 5)
    assert held.labels.tolist() == [0] * 5 + [1] * 5
    assert sorted([*rest.images.flatten().tolist(), *held.images.flatten().tolist()]) == list(range(100))
    assert not torch.equal(split(part, 0.1, 6)[1].images, held.images)


def _csv(tmp_path: Path, text: str) -> str:
    path = tmp_path / "fer2013.csv"
    path.write_text(text)
    return str(path)


ROW = " ".join(["7"] * 2304)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "no column 'emotion'"),
        ("emotion,pixels,Usage\n1,1 2 3,Training\n", "has 3 pixels, not 2304"),
        (f"emotion,pixels,Usage\n7,{ROW},Training\n", "label '7', out of range"),
        (f"emotion,pixels,Usage\n1,{ROW.replace('7', '256')},Training\n", "outside of 0 to 255"),
        (f"emotion,pixels,Usage\n1,{ROW.replace('7', 'x')},Training\n", "no whole numbers"),
        (f"emotion,pixels,Usage\n1,{ROW},Holiday\n", "usage 'Holiday'"),
        (f"emotion,pixels,Usage\n1,{ROW}\n", "has 2 columns, not 3"),
        ("emotion,pixels,Usage\n", "no rows"),
    ],
)
def test_wrong_tables_name_the_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(PictureError, match=words):
        open_dataset(_csv(tmp_path, text))


def test_wrong_data_sets_say_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match="no pictures"):
        open_dataset(str(tmp_path / "empty"))
    one = samples.tree(tmp_path / "one", classes=1)
    with pytest.raises(PictureError, match="only one class"):
        open_dataset(str(one))
    with pytest.raises(PictureError, match="no data set 'nothing'"):
        open_dataset("nothing")
    with pytest.raises(PictureError, match="by hand") as problem:
        open_dataset("fer2013")
    assert "kaggle" in problem.value.hint
    with pytest.raises(PictureError, match=r"no file train-images"):
        open_dataset("mnist", tmp_path / "empty")
    samples.idx(tmp_path / "cut")
    (tmp_path / "cut" / "train-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8b1")
    with pytest.raises(PictureError, match="no idx file"):
        open_dataset("mnist", tmp_path / "cut")
    samples.svhn(tmp_path / "house", [1, 12])
    with pytest.raises(PictureError, match="label 12, out of range"):
        open_dataset("svhn", tmp_path / "house")
    broken = tmp_path / "broken"
    for name in "ab":
        (broken / name).mkdir(parents=True)
        (broken / name / "x.png").write_bytes(b"no picture")
    samples.tree(broken, classes=2, count=2, parts=("more",))
    for file in (broken / "more" / "a").iterdir():
        file.write_bytes(b"")
    shutil.rmtree(broken / "a")
    with pytest.raises(PictureError, match=r"only one class in the training pictures \(3 that cannot be read"):
        open_dataset(str(broken))
    for file in (broken / "more" / "b").iterdir():
        file.write_bytes(b"")
    with pytest.raises(PictureError, match="Not one of the pictures"):
        open_dataset(str(broken))
    with pytest.raises(PictureError, match="none of the classes"):
        open_dataset("cifar10", samples.tree(tmp_path / "abc"))
    with pytest.raises(SpecError, match="out of range"):
        open_dataset(str(one), size=4000)
    with pytest.raises(PictureError, match="no data set ''"):
        open_dataset("")


def test_a_zip_in_a_zip_is_named(tmp_path: Path) -> None:
    inner = samples.zipped(samples.tree(tmp_path / "photos"))
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(inner, folder)
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(inner, "deep/photos.zip")
    for source, hint in ((tmp_path / "outer.zip", "Unpack the zip"), (folder, "Give that one")):
        with pytest.raises(PictureError, match=r"another zip, 'photos\.zip'") as problem:
            open_dataset(str(source))
        assert hint in problem.value.hint
    inner.write_bytes(inner.read_bytes()[:400])
    with pytest.raises(PictureError, match=r"'photos\.zip' is incomplete or damaged"):
        open_dataset(str(inner))


@pytest.mark.parametrize("part", ["", "train"])
def test_pictures_beside_the_classes_are_no_class(tmp_path: Path, part: str) -> None:
    root = samples.tree(tmp_path / "photos", parts=(part,) if not part else ("train", "test"))
    shutil.copy(root / part / "a" / "0.png", root / part / "cover.png")
    with pytest.raises(PictureError, match=r"'cover\.png' lies beside the folders"):
        open_dataset(str(root))


def test_folders_may_be_called_like_parts_but_not_in_no_encoding(tmp_path: Path) -> None:
    root = samples.tree(tmp_path / "vehicles", parts=("",))
    (root / "a").rename(root / "train")
    assert open_dataset(str(root)).classes == ("b", "train")
    try:
        (root / "b").rename(root / os.fsdecode(b"\xff"))
    except OSError:
        pytest.skip("names of files are text here")
    with pytest.raises(PictureError, match="is no text"):
        open_dataset(str(root))


def test_faces_take_other_sizes_and_channels(tmp_path: Path) -> None:
    faces = samples.fer_csv(tmp_path / "fer2013.csv", "fer2013")
    found = open_dataset("fer2013", tmp_path, size=24, channels=3)
    assert found.train is not None
    assert found.train.images.shape[1:] == (3, 24, 24)
    assert (len(found.mean), found.channels, found.size) == (3, 3, 24)
    wanted = np.asarray(Image.fromarray(faces[0]).resize((24, 24), Image.Resampling.BILINEAR))
    assert np.abs(found.train.images[0, 1].numpy().astype(int) - wanted).max() <= 1
    grey = fitted(
        Dataset("x", ("a", "b"), Part(torch.tensor([[200, 100, 50]]).view(1, 3, 1, 1), torch.zeros(1))), None, 1
    )
    assert grey.any.images.flatten().tolist() == [round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)]


def test_data_sets_are_fetched_with_a_check_of_their_hash(tmp_path: Path, home: Path) -> None:
    content = b"the file"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/x.bin"
        folder = home / "data" / "x"
        with pytest.raises(DownloadError, match="another file"):
            download.fetch_into(folder, url, "0" * 32)
        assert not list(folder.iterdir())
        md5 = hashlib.md5(content).hexdigest()
        told: list[tuple[int, int | None]] = []
        path = download.fetch_into(folder, url, md5, lambda done, total: told.append((done, total)))
        assert path.read_bytes() == content
        assert told[-1] == (8, 8)
    finally:
        server.shutdown()
        server.server_close()
    assert download.fetch_into(folder, url, md5) == path  # the server is gone
