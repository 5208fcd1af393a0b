"""The history of a run as a film: GIF, animated WebP, MP4 or WebM; written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizcore.errors import ExportError, HistoryError
from vizcore.export import contact_sheet, drafted
from vizcore.history import RunReader, decode

Progress = Callable[[int, int], None]
PALETTE_FRAMES = 16  # of which the palette of a GIF is made, evenly over the film
MAX_SIDE = 4096  # px; what players of H.264 take
FPS = 30


@dataclass(frozen=True)
class Film:
    """Which pictures, and how fast.

    Args:
        steps: ascending; steps without pictures are left out.
        channels: the filters, side by side as on a contact sheet; all if empty.
        fps: 1 to 30 frames per second.
        loop: for ever, or once (GIF and WebP; players decide it for videos).
        size: px of a picture's side, or ``None`` for its own.
    """

    steps: Sequence[int]
    channels: Sequence[int] = ()
    fps: float = 15.0
    loop: bool = True
    size: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= FPS:
            raise ExportError(f"A film has 1 to {FPS} frames per second.", "Use for example 15.")
        if self.size is not None and not 8 <= self.size <= 2048:
            raise ExportError("A picture of a film has 8 to 2048 px.", "Use for example 224.")


def save(path: str | Path, reader: RunReader, film: Film, progress: Progress = lambda done, total: None) -> int:
    """Write ``film`` to ``path``, whose ending says the format; returns the number of frames.

    Args:
        progress: told (frames done, frames in all); whatever it raises ends the work, and nothing is left behind.

    Raises:
        ExportError: an unknown ending, no pictures in these steps, PyAV missing for a video, no space.
        HistoryError: the run has no such filter, or a stored picture is damaged.
    """
    target = Path(path)
    writers = {".gif": _gif, ".webp": _webp, ".mp4": _mp4, ".webm": _webm}
    writer = writers.get(target.suffix.lower())
    if writer is None:
        raise ExportError(f"A film does not end in {target.suffix[:20]!r}.", f"Use one of {', '.join(writers)}.")
    kept = set(reader.steps().tolist())
    steps = [step for step in film.steps if step in kept]
    if not steps:
        raise ExportError("There are no pictures of these steps.", "Choose steps that were kept, or recompute them.")
    with drafted(target) as draft:
        writer(draft, _Frames(reader, film, steps, progress), film)
    return len(steps)


class _Frames:
    """The pictures of a film, uint8 [H, W, C], decoded one by one."""

    def __init__(self, reader: RunReader, film: Film, steps: Sequence[int], progress: Progress) -> None:
        self._reader, self._film, self.steps, self._progress = reader, film, steps, progress
        self._channels = tuple(film.channels) or reader.spec.channels
        newest = reader.latest() if reader.spec.octaves else None
        last = reader.frame(newest, self._channels[0]) if newest is not None else None
        self._shape = decode(last).shape[:2] if last is not None else None  # octaves have sizes of their own
        unknown = [channel for channel in self._channels if channel not in reader.spec.channels]
        if unknown:
            raise HistoryError(f"The run has no filter {unknown[0]}.", "See vizcore runs show for those it has.")

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for number, step in enumerate(self.steps):
            yield self.at(step)
            self._progress(number + 1, len(self.steps))

    def at(self, step: int) -> NDArray[np.uint8]:
        """The picture of a step."""
        if len(self._channels) == 1:
            stored = self._reader.frame(step, self._channels[0])
            frames = [stored] if stored is not None else []
        else:
            found = {frame.channel: frame for frame in self._reader.frames(step)}
            frames = [found[channel] for channel in self._channels if channel in found]
        if len(frames) != len(self._channels):
            raise ExportError(f"The pictures of step {step} are not there any more.", "Export again.")
        images = [self._sized(decode(frame)) for frame in frames]
        return images[0] if len(images) == 1 else contact_sheet(np.stack(images), [str(c) for c in self._channels])

    def _sized(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size = self._film.size
        shape = self._shape or ((size, size) if size is not None else image.shape[:2])
        if self._shape is not None and size is not None:
            shape = tuple(max(1, round(side * size / max(self._shape))) for side in self._shape)
        if image.shape[:2] == shape:
            return image
        grey = image.shape[2] == 1
        picture = Image.fromarray(image[:, :, 0] if grey else image).resize(shape[::-1], Image.Resampling.LANCZOS)
        pixels = np.asarray(picture)
        return pixels[:, :, None] if grey else pixels


def _pictures(frames: _Frames) -> Iterator[Image.Image]:
    for image in frames:
        yield Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def _durations(count: int, fps: float, unit: int) -> list[int]:
    """Milliseconds of each frame in whole ``unit`` ms, so that the film as a whole keeps time."""
    ends = [round(1000 * number / fps / unit) * unit for number in range(count + 1)]
    return [after - before for before, after in pairwise(ends)]


def _gif(path: Path, frames: _Frames, film: Film) -> None:
    """One palette for all frames, so that still parts do not flicker and each frame costs little."""
    palette = _palette(frames)
    pictures = (
        picture.convert("RGB").quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        for picture in _pictures(frames)
    )
    _save_all(path, pictures, len(frames), film, 10, "GIF", optimize=False)


def _palette(frames: _Frames) -> Image.Image:
    chosen = np.linspace(0, len(frames) - 1, min(PALETTE_FRAMES, len(frames))).round().astype(int)
    images = [frames.at(frames.steps[number]) for number in chosen]
    strip = np.concatenate([image.repeat(3, 2) if image.shape[2] == 1 else image for image in images])
    return Image.fromarray(strip).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def _webp(path: Path, frames: _Frames, film: Film) -> None:
    _save_all(path, (p.convert("RGB") for p in _pictures(frames)), len(frames), film, 1, "WEBP", quality=90, method=0)


def _save_all(
    path: Path, pictures: Iterator[Image.Image], count: int, film: Film, unit: int, form: str, **options: Any
) -> None:
    first = next(pictures)
    if form == "WEBP" or film.loop:
        options["loop"] = 0 if film.loop else 1  # a GIF without a count plays once
    first.save(path, form, save_all=True, append_images=pictures, duration=_durations(count, film.fps, unit), **options)


def _mp4(path: Path, frames: _Frames, film: Film) -> None:
    _video(path, frames, film, "mp4", "libx264", {"preset": "veryfast", "crf": "16"})


def _webm(path: Path, frames: _Frames, film: Film) -> None:
    quick = {"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "crf": "24", "b": "0"}
    _video(path, frames, film, "webm", "libvpx-vp9", quick)


def _video(path: Path, frames: _Frames, film: Film, form: str, codec: str, options: dict[str, str]) -> None:
    try:
        import av
    except ImportError as error:
        raise ExportError("Videos need PyAV.", "Run pip install 'vizcore[video]', or export a GIF or WebP.") from error
    rate = Fraction(film.fps).limit_denominator(1000)
    try:
        with av.open(str(path), "w", format=form) as container:
            stream: Any = None
            for image in frames:
                picture = _even(image.repeat(3, 2) if image.shape[2] == 1 else image)
                if stream is None:
                    stream = container.add_stream(codec, rate=rate, options=options)
                    stream.height, stream.width = picture.shape[:2]
                    stream.pix_fmt = "yuv420p"
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise ExportError("The video could not be encoded.", "Export a GIF or WebP instead.") from error


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Both sides even, as videos must be whose colours have half the resolution; the last row or column is doubled."""
    if max(image.shape[:2]) > MAX_SIDE:
        raise ExportError(f"A video has at most {MAX_SIDE} px.", "Choose fewer filters, or a smaller size.")
    return np.pad(image, [(0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)], "edge")
