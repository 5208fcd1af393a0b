"""Street View House Numbers (Netzer et al. 2011): cropped digits in MATLAB files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vizcore.errors import PictureError
from vizcore.train.data.parts import Dataset, Part

MIRROR = "http://ufldl.stanford.edu/housenumbers/"
FILES = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}
"""md5 of each, as torchvision checks them."""
LICENCE = "MIT (weights); the pictures of SVHN are for non-commercial use"


def dataset(folder: Path) -> Dataset:
    """The data set in ``train_32x32.mat`` and ``test_32x32.mat`` under ``folder``."""
    train, test = (part(folder, name) for name in FILES)
    data = f"SVHN (Netzer et al. 2011), ten digits, {len(train):,} pictures to train and {len(test):,} to test"
    return Dataset("svhn", tuple("0123456789"), train, test=test, facts={"data": data, "licence": LICENCE})


def part(folder: Path, name: str) -> Part:
    """The pictures and labels of one file; raises :class:`PictureError` if it is missing, damaged or another one."""
    try:
        from scipy.io import loadmat  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise PictureError(
            "The files of SVHN need SciPy, which is not installed.", 'Run pip install "vizcore[svhn]".'
        ) from None
    path = next(iter(sorted(folder.rglob(name))), None)
    if path is None:
        raise PictureError(f"There is no file {name} in this folder.", "Give the folder with the .mat files.")
    try:
        found = loadmat(path, variable_names=["X", "y"])
        images, labels = found["X"], found["y"].ravel()
    except Exception:  # its reader of arbitrary bytes raises whatever it meets
        raise PictureError(f"{name} is no MATLAB file of SVHN, or a damaged one.", "Fetch it again.") from None
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[2] != 3 or images.shape[3] != len(labels):
        raise PictureError(f"{name} does not hold pictures [32, 32, 3, N] and N labels.", "Fetch it again.")
    if len(labels) and not (labels.min() >= 0 and labels.max() <= 10):
        raise PictureError(
            f"{name} has the label {int(labels.max())}, out of range.",
            "Labels of SVHN are 1 to 10 (10 is the digit 0).",
        )
    numbers = labels.astype(np.int64) % 10  # the digit 0 is labelled 10
    return Part(torch.from_numpy(images.transpose(3, 2, 0, 1).copy()), torch.from_numpy(numbers))
