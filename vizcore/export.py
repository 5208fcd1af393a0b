"""Pictures as files: PNGs that carry their recipe, and contact sheets; written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

import vizcore
from vizcore import lineage
from vizcore import spec as specs
from vizcore.errors import ExportError, VizcoreError
from vizcore.params import Value
from vizcore.spec import RunSpec

if TYPE_CHECKING:
    from vizcore.history import RunReader

KEY = "vizcore"  # keyword of the PNG text chunk
MAX_RECIPE = 1_000_000  # bytes; Pillow refuses text chunks above 1 MiB
MAX_FILE = 64 * 1024**2  # bytes of a PNG that is searched for a recipe
MAX_PIXELS = 25_000_000
GREY = 119  # sRGB value of half the lightness (L* = 50): pictures look neither darker nor brighter on it
GAP = 4  # px between the tiles of a sheet
CAPTION = 14  # px for a line of text under a tile


@dataclass(frozen=True)
class Recipe:
    """How a picture was made: enough to make it again.

    Args:
        step: the picture before this step's update.
        knobs: the knob log, as (step, name, value).
        channel: the filter, or ``None`` for a sheet of all.
        weights_hash: sha256 of the network's weights, so that another network is noticed.
        extra: whatever else was recorded (device, precision, torch version ...), as JSON values.
        above: of a fork, the runs that it comes from, each up to where it was left; the topmost first.
    """

    spec: RunSpec
    step: int
    knobs: tuple[tuple[int, str, Value], ...] = ()
    channel: int | None = None
    weights_hash: str = ""
    version: str = vizcore.__version__
    extra: Mapping[str, Any] = field(default_factory=dict)
    above: lineage.Line = ()

    def to_json(self) -> str:
        """As the text of the PNG chunk."""
        data = {
            "vizcore": self.version,
            "spec": specs.to_dict(self.spec),
            "step": self.step,
            "knobs": [list(turn) for turn in self.knobs],
            "channel": self.channel,
            "weights_hash": self.weights_hash,
            "extra": dict(self.extra),
        }
        if self.above:
            data["above"] = [ancestor.to_dict() for ancestor in self.above]
        return json.dumps(data, separators=(",", ":"))


def recipe_of(reader: RunReader, step: int, channel: int | None = None) -> Recipe:
    """The recipe of a stored picture: of the run that made it, which is a fork's ancestor before the fork's root.

    Raises:
        HistoryError: that run is not there any more.
    """
    owner = reader.owner(step)
    meta, above = owner.meta, lineage.of(owner)
    knobs = tuple(turn for turn in owner.knobs() if turn[0] <= step)
    extra = {"run": owner.path.stem, **(meta.get("environment") or {})}
    if owner.is_fork:
        extra["fork"] = meta.get("parent")
    return Recipe(owner.spec, step, knobs, channel, str(meta.get("weights_hash", "")), extra=extra, above=above or ())


def save_png(
    path: str | Path,
    image: NDArray[np.uint8],
    spec: RunSpec,
    step: int,
    knobs: Iterable[tuple[int, str, Value]] = (),
    extra: Mapping[str, Any] | None = None,
    *,
    channel: int | None = None,
    weights_hash: str = "",
) -> Path:
    """Write ``image`` uint8 [H, W, C], C = 1 or 3, as a PNG with its recipe.

    Raises:
        ExportError: no space, no right to write, or a recipe over 1 MB.
    """
    recipe = Recipe(spec, step, tuple(knobs), channel, weights_hash, extra=extra or {})
    write_atomically(path, png_bytes(image, recipe))
    return Path(path)


def png_bytes(image: NDArray[np.uint8], recipe: Recipe | None = None) -> bytes:
    """``image`` uint8 [H, W, C] as a PNG, with its recipe if there is one; the 2nd or 4th channel is opacity."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 2, 3, 4):
        raise ExportError("This is no picture.", "Give uint8 [height, width, 1 to 4].")
    info = PngImagePlugin.PngInfo()
    if recipe is not None:
        text = recipe.to_json()
        if len(text) > MAX_RECIPE:
            raise ExportError("The recipe is too long for a picture.", "Export the run instead.")
        info.add_itxt(KEY, text)
    stream = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def read_recipe(source: str | Path | BinaryIO) -> Recipe:
    """The recipe in a PNG of :func:`save_png`, checked value by value.

    Raises:
        ExportError: no PNG, no recipe in it, or a recipe that is damaged, forged, or from a newer vizcore.
    """
    try:
        with contextlib.ExitStack() as stack:
            stream = source if not isinstance(source, (str, Path)) else stack.enter_context(Path(source).open("rb"))
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ExportError("The picture cannot be read.", "Choose a PNG that vizcore wrote.") from error
    if len(data) > MAX_FILE:
        raise ExportError("The picture is too large.", "Choose a PNG of at most 64 MiB.")
    return parse_recipe(_text(data))


def _text(data: bytes) -> str:
    """The text of our chunk, without decoding the picture."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ExportError("The picture is too large.", "Choose one of at most 25 megapixels.")
            text = picture.info.get(KEY)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ExportError("This is no PNG, or a damaged one.", "Choose a PNG that vizcore wrote.") from error
    if not isinstance(text, str):
        raise ExportError("There is no recipe in this picture.", "Choose a PNG that vizcore wrote, unchanged.")
    return text


def parse_recipe(text: str) -> Recipe:
    """The recipe in the text of :meth:`Recipe.to_json`; raises :class:`ExportError` as :func:`read_recipe` does."""
    hint = "Choose a PNG that vizcore wrote, unchanged."
    if len(text) > MAX_RECIPE:
        raise ExportError("The recipe is too long.", hint)
    try:
        data = json.loads(text)
        spec = specs.from_dict(data["spec"])
        knobs = tuple(specs.Knobs(spec, [(_count(step), str(name), value) for step, name, value in data["knobs"]]).log)
        channel = data.get("channel")
        if channel is not None and channel not in spec.channels:
            raise ExportError("The recipe names a filter that its run does not have.", hint)
        weights_hash, version, extra = data.get("weights_hash", ""), data["vizcore"], data.get("extra", {})
        if not (isinstance(weights_hash, str) and isinstance(version, str) and isinstance(extra, dict)):
            raise ExportError("The recipe is damaged.", hint)
        above = lineage.read(data.get("above", ()), spec)
        return Recipe(spec, _count(data["step"]), knobs, channel, weights_hash, version, extra, above)
    except ExportError:
        raise
    except VizcoreError as error:
        raise ExportError(f"The recipe cannot be used: {error.message}", error.hint) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ExportError("The recipe is damaged.", hint) from error


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**40:
        raise ValueError("no step")
    return value


def contact_sheet(
    images: NDArray[np.uint8], captions: Sequence[str] = (), columns: int | None = None
) -> NDArray[np.uint8]:
    """``images`` uint8 [N, H, W, C] as one picture [H', W', 3], row by row on neutral grey.

    Args:
        captions: a line under each tile, for example the number of its filter.
        columns: tiles per row; as square a sheet as can be if not given.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images) or images.shape[3] not in (1, 3):
        raise ExportError("These are no pictures.", "Give uint8 [N, height, width, 1 or 3].")
    if captions and len(captions) != len(images):
        raise ExportError("Captions and pictures differ in number.", "Give one caption per picture, or none.")
    count, height, width, _ = images.shape
    across = min(count, max(1, columns or math.ceil(math.sqrt(count))))
    down = math.ceil(count / across)
    cell = height + GAP + (CAPTION if captions else 0)
    sheet = np.full((GAP + down * cell, GAP + across * (width + GAP), 3), GREY, np.uint8)
    corners = [(GAP + i // across * cell, GAP + i % across * (width + GAP)) for i in range(count)]
    for (top, left), image in zip(corners, images, strict=True):
        sheet[top : top + height, left : left + width] = image
    if not captions:
        return sheet
    picture = Image.fromarray(sheet)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(10)
    for (top, left), caption in zip(corners, captions, strict=True):
        draw.text((left, top + height + 1), _fit(caption, width, font), fill=(255, 255, 255), font=font)
    return np.asarray(picture)


def _fit(caption: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """``caption``, cut at the end until it is at most ``width`` px wide."""
    text = caption.splitlines()[0][:200] if caption.strip() else ""
    while text and font.getlength(text) > width:
        text = text[:-1]
    return text


def save_sheet(
    path: str | Path,
    images: NDArray[np.uint8],
    spec: RunSpec,
    step: int,
    knobs: Iterable[tuple[int, str, Value]] = (),
    extra: Mapping[str, Any] | None = None,
    *,
    weights_hash: str = "",
) -> Path:
    """Write the pictures of all filters of a run at one step as a sheet with filter numbers and the recipe."""
    sheet = contact_sheet(images, [str(channel) for channel in spec.channels])
    return save_png(path, sheet, spec, step, knobs, extra, weights_hash=weights_hash)


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, even when the disk fills up or the power fails.

    Raises:
        ExportError: no space, no such folder, or no right to write.
    """
    with drafted(path) as draft:
        draft.write_bytes(data)


@contextlib.contextmanager
def drafted(path: str | Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; at the end it becomes ``path``, after an error or Ctrl-C it is gone.

    Raises:
        ExportError: no space, no such folder, or no right to write.
    """
    target = Path(path)
    draft = target.with_name(f".{secrets.token_hex(8)}.part")  # short, whatever the length of the name
    try:
        draft.open("xb").close()
        yield draft
        with draft.open("rb+") as stream:
            os.fsync(stream.fileno())
        draft.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _write_error(error) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new name outlast a power failure, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_error(error: OSError) -> ExportError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ExportError("The disk is full; nothing was written.", "Free some space and try again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ExportError("The folder may not be written to.", "Choose another folder.")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ExportError("There is no such folder.", "Make it, or choose another one.")
    return ExportError("The file could not be written.", "Choose another name or folder.")
