"""Reading weights that somebody gave us, without running what is in them and without filling the memory.

A file is sniffed before torch sees it: safetensors, a zip of ``torch.save`` with stored members only, or the older
plain pickle.  Pickles are read with ``weights_only=True`` and there is no second attempt.
"""

from __future__ import annotations

import hashlib
import math
import pickletools
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from vizcore.errors import ModelError

State = dict[str, torch.Tensor]

SAVE = "Save the weights alone, with torch.save(model.state_dict(), file) or as safetensors."
AGAIN = "Fetch or copy the file again."
_ENVELOPES = ("state_dict", "model_state_dict", "model", "net", "network")  # where training scripts put the state
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_LEGACY_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # pickled long 0x1950a86a20f9469cfc6c
_PICKLE_LIMIT = 64 << 20  # bytes; the structure of a state of 100,000 tensors is 20 MB


def read_state(path: Path) -> State:
    """The state in a safetensors, ``.pt`` or ``.pth`` file: dense tensors on the CPU that are finite, by name.

    Raises:
        ModelError: the file is missing, empty, incomplete, of another kind, has code in it, or has a tensor that is
            not plain numbers.  Nothing in the file is run.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(1024)
    except (OSError, ValueError):
        raise ModelError(
            f"The weights file {_short(path.name)!r} cannot be opened.", "Check its name and your right to read it."
        ) from None
    if not size:
        raise ModelError(f"The weights file {path.name} is empty.", AGAIN)
    _refuse_pages(path.name, head)
    if head[:4] == b"PK\x03\x04":
        _check_zip(path, size)
        found = _load_torch(path)
    elif _is_safetensors(head):
        return _checked(_load_safetensors(path), path.name)
    elif head[:1] == b"\x80":
        _check_pickle(path)
        found = _load_torch(path)
    else:
        raise _unknown_kind(path, head)
    return _checked(_unwrap(found, path.name), path.name)


def state_hash(state: Mapping[str, torch.Tensor]) -> str:
    """sha256, in hex, of names, types, shapes and bytes; the same for equal states in different files."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().data if value.numel() else b"")
    return digest.hexdigest()


def _refuse_pages(name: str, head: bytes) -> None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")):
        raise ModelError(f"{name} is a web page, not weights.", "Download the file itself, not the page about it.")
    if start.startswith(b"version https://git-lfs.github.com/"):
        raise ModelError(f"{name} is a Git LFS pointer, not the weights.", "Run git lfs pull to fetch the file itself.")


def _is_safetensors(head: bytes) -> bool:
    """A little-endian length of the header, then the header's brace; a cut file counts, so that it can be named."""
    return len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 100 << 20


def _unknown_kind(path: Path, head: bytes) -> ModelError:
    name = path.name
    if head[257:262] == b"ustar" or head[:100].rstrip(b"\0") in (b"storages", b"tensors", b"pickle", b"sys_info"):
        return ModelError(f"{name} is a tar file of a very old torch, which is refused.", SAVE)
    if not head.strip(b"\0"):
        return ModelError(f"{name} is incomplete: it begins with zeros.", AGAIN)
    if path.suffix == ".safetensors":
        return ModelError(f"{name} is damaged: it does not begin like a safetensors file.", AGAIN)
    return ModelError(
        f"{name} is not a weights file.", "Use a safetensors file, or a .pt or .pth file of a state_dict."
    )


def _load_safetensors(path: Path) -> State:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, RuntimeError, ValueError):
        raise ModelError(f"{path.name} is incomplete or damaged.", AGAIN) from None


def _check_zip(path: Path, size: int) -> None:
    """Refuse archives that are cut, compressed (a bomb could be) or code; and pickles that name what is not data."""
    name = path.name
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
                raise ModelError(f"{name} has compressed members, which are not allowed.", SAVE)
            if sum(member.file_size for member in members) > size:
                raise ModelError(f"{name} is damaged: its members are larger than the file.", AGAIN)
            names = [member.filename for member in members]
            if any(entry.endswith("/constants.pkl") or "/code/" in entry for entry in names):
                raise ModelError(f"{name} is a TorchScript program, not weights; it is refused.", SAVE)
            pickles = [member for member in members if member.filename.rsplit("/", 1)[-1] == "data.pkl"]
            if len(pickles) != 1 or pickles[0].file_size > _PICKLE_LIMIT:
                raise ModelError(f"{name} is a zip file, but not one of torch.save.", SAVE)
            _refuse_code(name, archive.read(pickles[0]))
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError, struct.error):
        raise ModelError(f"{name} is incomplete or damaged.", AGAIN) from None


def _check_pickle(path: Path) -> None:
    """Refuse what is not the older format of ``torch.save``, or names what is not data."""
    with path.open("rb") as file:
        head = file.read(2)
        magic = file.read(len(_LEGACY_MAGIC))
        file.seek(0)
        body = file.read(_PICKLE_LIMIT)
    _refuse_code(path.name, body)
    if head[:1] != b"\x80" or magic != _LEGACY_MAGIC:
        raise ModelError(f"{path.name} is a pickle that torch.save did not write; it is refused.", SAVE)


def _refuse_code(name: str, data: bytes) -> None:
    """Look at the names in a pickle (or several, one after the other) without running it."""
    names = _globals(data)
    strange = [entry for entry in names if not _harmless(entry)]
    if not strange:
        return
    if any(entry.startswith(("torch.nn.modules.", "torchvision.models.", "timm.models.")) for entry in strange):
        raise ModelError(f"{name} holds a whole model with its code, not weights; it is refused.", SAVE)
    raise ModelError(
        f"{name} contains code ({_short(strange[0])}); it is refused.", "Do not trust it; " + SAVE[0].lower() + SAVE[1:]
    )


def _globals(data: bytes) -> list[str]:
    """Everything that a pickle refers to by module and name, in order, without running it."""
    found: list[str] = []
    position = 0
    try:
        # The older format is several pickles, then raw numbers; sys_info and keys are among the first five.
        for _ in range(5):
            texts: list[str] = []
            end = 0
            for opcode, argument, at in pickletools.genops(data[position:] if position else data):
                if opcode.name in ("GLOBAL", "INST"):
                    found.append(str(argument).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":
                    found.append(".".join(texts[-2:]))
                elif isinstance(argument, str):
                    texts.append(argument)
                end = at or 0
            position += end + 1
    except (ValueError, IndexError, UnicodeDecodeError):
        pass  # the end of what is a pickle; a cut one fails when it is loaded
    return found


def _harmless(name: str) -> bool:
    """Whether it is data to torch's own reader, which is asked to refuse everything else anyway; this only words it."""
    return (
        name in ("collections.OrderedDict", "torch.nn.parameter.Parameter", "_codecs.encode")
        or name.startswith(("torch._utils._rebuild", "torch.storage.", "torch._tensor.", "torch.serialization."))
        or (name.startswith("torch.") and name.count(".") == 1)  # dtypes, Size, FloatStorage, Tensor ...
    )


def _load_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on storage types and quantised tensors: refused below in our words
            found: object = torch.load(path, map_location="cpu", weights_only=True)
            return found
    except Exception as error:
        # torch's text tells people how to load unsafely, and its errors are of a dozen types
        text = str(error)
        if "tar" in text and "legacy" in text:
            raise ModelError(f"{path.name} is a tar file of a very old torch, which is refused.", SAVE) from None
        if "weights_only" in text.lower() or "weights only" in text.lower() or "Unsupported" in text:
            raise ModelError(f"{path.name} holds more than weights; it is refused.", SAVE) from None
        raise ModelError(f"{path.name} is incomplete or damaged.", AGAIN) from None


def _unwrap(found: object, name: str) -> State:
    """The state itself: out of a training script's envelope, without the prefixes of wrappers."""
    for key in _ENVELOPES:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping) or not found:
        raise ModelError(f"{name} does not hold a state_dict.", SAVE)
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise ModelError(f"{name} does not hold a state_dict: {_short(str(key))} is not a tensor.", SAVE)
    state = dict(found)
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _checked(state: State, name: str) -> State:
    """``state`` if every tensor is dense, stored in full, real and finite."""
    for key, value in state.items():
        what = f"The tensor {_short(key)} of {name}"
        kind = _strange_kind(value)
        if kind:
            raise ModelError(f"{what} is {kind}; only plain dense tensors are taken.", SAVE)
        declared, stored = value.numel() * value.element_size(), value.untyped_storage().nbytes()
        if declared > stored:
            raise ModelError(
                f"{what} declares {_bytes(declared)} but stores {_bytes(stored)}.", "The file is not to be trusted."
            )
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value.sum(dtype=torch.float64))):
            bad = int((~torch.isfinite(value.float())).sum())
            if bad:
                what = f"The tensor {_short(key)} of {name}"
                raise ModelError(
                    f"{what} has {bad} value{'s' * (bad > 1)} of NaN or infinity.",
                    "Use weights from before that happened.",
                )
    return state


def _strange_kind(value: torch.Tensor) -> str:
    if value.is_meta:
        return "without data (on the meta device)"
    if value.is_quantized:
        return "quantised"
    if value.layout != torch.strided or value.is_nested:
        return "sparse" if "sparse" in str(value.layout) else "nested"
    if value.is_complex():
        return "complex"
    return ""


def _bytes(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    power = min(int(math.log10(count)) // 3, 4)
    return f"{count / 1000**power:.1f} {'kMGT'[power - 1]}B"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
