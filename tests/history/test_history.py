"""What is written comes back, whole and under its own number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from samples import pictures, spec

from vizcore.errors import HistoryError
from vizcore.history import RunReader, RunWriter, decode, pack, unpack


@pytest.mark.parametrize("colours", [1, 3])
def test_round_trip(tmp_path: Path, colours: int) -> None:
    path = tmp_path / "a.vizrun"
    with RunWriter.create(path, spec(), environment={"torch": "2"}, weights_hash="ab", parent=("x", 3)) as writer:
        for step in range(5):
            writer.add(step, pictures(step, colours=colours), np.arange(3) + step, np.ones(3), ["ok", "dead", "ok"])
        writer.knob(2, "rate", 0.5)
        writer.checkpoint(3, {"image": np.arange(6.0).reshape(2, 3)})
        writer.set_state("done", rate=31.5)
    with RunReader(path) as reader:
        assert reader.spec == spec()
        assert reader.meta["parent"] == ["x", 3]
        assert (reader.state, reader.info["rate"]) == ("done", 31.5)
        assert reader.steps().tolist() == [0, 1, 2, 3, 4]
        assert reader.latest() == 4
        for step in range(5):
            frames = reader.frames(step)
            assert [frame.channel for frame in frames] == [4, 0, 7]
            assert all(frame.lossless and frame.step == step for frame in frames)
            np.testing.assert_array_equal(np.stack([decode(f) for f in frames]), pictures(step, colours=colours))
        frame = reader.frame(3, 7)
        assert frame is not None
        assert (frame.score, frame.gradient_norm, frame.status) == (5.0, 1.0, "ok")
        assert reader.frame(9, 7) is None
        assert reader.frames(9) == []
        with pytest.raises(HistoryError, match="no filter 5"):
            reader.frame(3, 5)
        steps, scores, norms = reader.scores(since=1)
        assert steps.tolist() == [2, 3, 4]
        assert scores.shape == norms.shape == (3, 3)
        assert scores[0].tolist() == [2, 3, 4]
        assert reader.statuses() == ["ok", "dead", "ok"]
        assert reader.knobs() == [(2, "rate", 0.5)]
        step, arrays = reader.checkpoint_at(40)
        assert step == 3
        np.testing.assert_array_equal(arrays["image"], np.arange(6.0).reshape(2, 3))
        with pytest.raises(HistoryError, match="no checkpoint"):
            reader.checkpoint_at(2)


def test_packed_pictures_are_the_stored_bytes(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "a.vizrun", spec()) as writer:
        writer.add(0, pictures(0), [1, float("nan"), 3], np.ones(3))
        writer.flush()
        with RunReader(tmp_path / "a.vizrun") as reader:
            frames = reader.frames(0)
    header, bodies = unpack(pack(0, frames))
    assert header["step"] == 0
    assert [item["channel"] for item in header["items"]] == [4, 0, 7]
    assert [item["score"] for item in header["items"]] == [1, None, 3]
    assert bodies == [frame.data for frame in frames]
    with pytest.raises(HistoryError, match="cut short"):
        unpack(pack(0, frames)[:-1])
