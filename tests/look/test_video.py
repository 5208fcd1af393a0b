"""Videos, where PyAV is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vizcore.errors import PictureError
from vizcore.look.video import frames

av = pytest.importorskip("av", reason="PyAV is not installed")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(12):
            picture = np.full((48, 64, 3), 20 * i, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_every_nth_frame(clip: Path) -> None:
    found = list(frames(clip, 5))
    assert [number for number, _ in found] == [0, 5, 10]
    for number, frame in found:
        assert frame.shape == (48, 64, 3)
        assert abs(frame.mean() - 20 * number) < 4


def test_what_is_no_video(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("#EXTM3U\nhttp://example.org/x.ts\n")
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:300])
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        for packet in stream.encode(frame):
            container.mux(packet)
    for name in ("empty.mp4", "text.mp4", "cut.mp4", "sound.wav", "none.mp4"):
        with pytest.raises(PictureError) as caught:
            list(frames(tmp_path / name))
        assert caught.value.hint
    with pytest.raises(PictureError, match="no frames"):
        list(frames(tmp_path / "sound.wav"))
