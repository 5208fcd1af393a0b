"""Data sets: by name, or any tree of class folders.

::

    efl        letters, generated            parts    what every reader gives: pictures and labels in memory
    mnist      idx files                     trees    class folders, also in a zip
    svhn       MATLAB files
    fer2013    Kaggle's CSV, class folders
    cifar10    binary files, class folders
"""

from __future__ import annotations

import difflib
from pathlib import Path

from vizcore.errors import PictureError, SpecError
from vizcore.train.data import cifar, efl, fer, idx, svhn, trees
from vizcore.train.data.parts import Dataset, Part, Progress, fingerprint, finished, fitted, split
from vizcore.zoo import download

__all__ = ["NAMES", "Dataset", "Part", "Progress", "fingerprint", "open_dataset", "split"]

NAMES = ("efl", "mnist", "svhn", "fer2013", "cifar10")
SIZES = (4, 512)  # px; smaller ones show nothing, larger ones do not stay in memory
_FER_BY_HAND = (
    "Fetch fer2013.csv from kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge "
    "(an account is needed) and name it with --data."
)


def open_dataset(
    name: str,
    data: Path | None = None,
    size: int | None = None,
    channels: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    fetching: download.Progress | None = None,
) -> Dataset:
    """The data set of a name, or the class folders of a path.

    Args:
        data: where a named data set lies; it is fetched if not given, where that is possible.
        size, channels: of the pictures, where they are not the data set's own.
        progress: called while pictures are decoded; ``fetching`` while they are fetched.

    Raises:
        PictureError: there is no such data set, or it is damaged, or must be fetched by hand.
        DownloadError: it could not be fetched.
        SpecError: a size or number of channels that cannot be.
    """
    if size is not None and not SIZES[0] <= size <= SIZES[1]:
        raise SpecError(f"--size is {size}, out of range.", f"Use {SIZES[0]} to {SIZES[1]} px.")
    if channels not in (None, 1, 3):
        raise SpecError(f"--channels is {channels}.", "Use 1 for grey or 3 for colour.")
    if data is not None and not data.exists():
        raise PictureError(f"{data.name[:60]!r} is not there.", "Check --data.")
    return finished(_open(name, data, size, channels, seed, progress, fetching))


def _open(
    name: str, data: Path | None, size: int | None, channels: int | None, seed: int, progress: Progress | None,
    fetching: download.Progress | None,
) -> Dataset:  # fmt: skip
    if name in ("efl", "mnist", "svhn") and (size is not None or channels is not None):
        raise SpecError(f"The pictures of {name} have one size.", "Leave out --size and --channels.")
    if name == "efl":
        return efl.dataset(seed)
    if name == "mnist":
        return idx.dataset(data or fetched(idx.MIRROR, idx.FILES, "mnist", fetching))
    if name == "svhn":
        return svhn.dataset(data or fetched(svhn.MIRROR, svhn.FILES, "svhn", fetching))
    if name == "cifar10":
        base, _, file = cifar.URL.rpartition("/")
        found = cifar.dataset(data or fetched(base + "/", {file: cifar.MD5}, "cifar10", fetching), size, progress)
        return fitted(found, size, channels)
    if name == "fer2013":
        if data is None:
            raise PictureError("FER2013 must be fetched by hand.", _FER_BY_HAND)
        return fitted(fer.dataset(data, size, progress), size, channels)
    path = named(name)
    if path.suffix.lower() == ".csv":
        return fitted(fer.dataset(path, size, progress), size, channels)
    return trees.dataset(path, size, channels, (), progress)


def named(name: str) -> Path:
    """The path that a data set's name is, where it is none of ``NAMES``; raises :class:`PictureError`."""
    path = Path(name)
    if not name or (name not in NAMES and not path.exists()):
        near = difflib.get_close_matches(name, NAMES, 1, 0.6)
        raise PictureError(
            f"There is no data set {path.name[:60]!r}.",
            f"Did you mean {near[0]}?" if near else f"Use {', '.join(NAMES)}, or a folder or zip of class folders.",
        )
    return path


def fetched(base: str, files: dict[str, str], name: str, progress: download.Progress | None) -> Path:
    """The folder with ``files`` (name to md5), each from the cache or fetched from ``base``."""
    folder = download.folder().parent / "data" / name
    for file, md5 in files.items():
        download.fetch_into(folder, base + file, md5, progress)
    return folder
