"""Small data sets in the real formats, generated."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def striped(label: int, size: int = 16, seed: int = 0) -> np.ndarray:
    """A picture [size, size, 3] whose stripes tell its class: horizontal, vertical, or none."""
    rng = np.random.default_rng([label, seed])
    wave = (np.arange(size) // 2 % 2) * 160 + 40
    plane = {0: wave[:, None], 1: wave[None, :]}.get(label, np.full((size, size), 40 + 40 * label))
    noisy = np.broadcast_to(plane, (size, size))[:, :, None] + rng.normal(0, 12, (size, size, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def tree(
    root: Path, classes: int = 2, count: int = 12, size: int = 16, parts: tuple[str, ...] = ("train", "test")
) -> Path:
    """Class folders of PNG pictures."""
    for part in parts:
        for label in range(classes):
            folder = root / part / "abc"[label] if part else root / "abc"[label]
            folder.mkdir(parents=True)
            for index in range(count):
                seed = index + 1000 * parts.index(part)
                Image.fromarray(striped(label, size, seed)).save(folder / f"{index}.png")
    return root


def zipped(root: Path) -> Path:
    """A folder as a zip beside it."""
    path = root.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*.png")):
            archive.write(file, f"{root.name}/{file.relative_to(root)}")
    return path


def idx(folder: Path, count: int = 20, packed: bool = True) -> dict[str, np.ndarray]:
    """MNIST's four files."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for prefix, n in (("train", count), ("t10k", count // 2)):
        images = RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
            data = head + values.tobytes()
            name = f"{prefix}-{kind}-ubyte"
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(data))
            else:
                (folder / name).write_bytes(data)
        found[prefix] = images
    return found


def svhn(folder: Path, labels: list[int] | None = None) -> np.ndarray:
    """SVHN's two files; the pictures of the first [32, 32, 3, N]."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    values = np.array(labels or [1, 2, 10, 1], np.uint8)[:, None]
    images = RNG.integers(0, 256, (32, 32, 3, len(values)), dtype=np.uint8)
    for name in ("train_32x32.mat", "test_32x32.mat"):
        savemat(folder / name, {"X": images, "y": values})
    return images


def fer_rows(count: int = 6) -> tuple[list[int], list[str], np.ndarray]:
    """Labels, usages and faces [N, 48, 48] of a table."""
    faces = RNG.integers(0, 256, (count, 48, 48), dtype=np.uint8)
    usage = ["Training"] * (count - 2) + ["PublicTest", "PrivateTest"]
    return [i % 7 for i in range(count)], usage, faces


def fer_csv(path: Path, spelling: str = "fer2013") -> np.ndarray:
    """Kaggle's table in one of its spellings; the faces."""
    labels, usage, faces = fer_rows()
    texts = [" ".join(map(str, face.ravel())) for face in faces]
    if spelling == "fer2013":
        lines = ["emotion,pixels,Usage"] + [f"{a},{c},{b}" for a, b, c in zip(labels, usage, texts, strict=True)]
    elif spelling == "icml":
        lines = ["emotion, Usage, pixels"] + [f"{a},{b},{c}" for a, b, c in zip(labels, usage, texts, strict=True)]
    else:
        lines = ["emotion,pixels"] + [f'{a},"{c}"' for a, c in zip(labels, texts, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return faces


def cifar(path: Path, rows: int = 10) -> np.ndarray:
    """The binary version as a tar.gz; the rows of the first batch."""
    first = None
    with tarfile.open(path, "w:gz") as archive:
        for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
            values = RNG.integers(0, 256, (rows, 3073), dtype=np.uint8)
            values[:, 0] = np.arange(rows) % 10
            first = values if first is None else first
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = values.nbytes
            archive.addfile(info, io.BytesIO(values.tobytes()))
    assert first is not None
    return first
