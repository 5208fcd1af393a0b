"""Frames of a video, by PyAV (the extra ``video``)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vizcore.errors import PictureError
from vizcore.look.pictures import MAX_PIXELS, Picture

SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi")


def frames(path: str | Path, every: int = 1) -> Iterator[tuple[int, Picture]]:
    """Every ``every``-th frame of a video with its number: uint8 ``[H, W, 3]``; decoded as they are asked for.

    Raises:
        PictureError: PyAV is not installed; the file is none, is damaged, or has no frames or too large ones.
    """
    try:
        av = importlib.import_module("av")
    except ImportError:
        raise PictureError("Videos need PyAV, which is not installed.", 'Run pip install "vizcore[video]".') from None
    source = Path(path)
    if not source.is_file():
        raise PictureError(f"There is no video {source.name[:60]!r}.", "Check its name.")
    none = PictureError("There are no frames in this video.", "Choose an MP4, WebM or MOV file.")
    given = 0
    try:
        # "file" alone: a play list must not make the reader fetch what it names
        with av.open(str(source), options={"protocol_whitelist": "file"}) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise none
            if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
                raise PictureError("The frames have more than 25 megapixels.", "Scale the video down first.")
            for number, frame in enumerate(container.decode(stream)):
                if number % max(1, every) == 0:
                    given += 1
                    yield number, np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
    except PictureError:
        raise
    except (OSError, ValueError, av.error.FFmpegError):
        if not given:
            raise PictureError("This is no video, or a damaged one.", "Choose an MP4, WebM or MOV file.") from None
        return  # what came before the damage has been shown
    if not given:
        raise none
