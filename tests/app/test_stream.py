"""Credit: two in flight, forgiveness at the start, a time-out, and only what is new."""

from __future__ import annotations

from app.stream import TIMEOUT, WINDOW, Gate, Stream
from tests.app.conftest import Clock
from tests.app.fake import FakeEngine
from vizcore.history import unpack
from vizcore.runs import Library
from vizcore.spec import build


def drain(gate: Gate, ack: int, first: int) -> int:
    """How many updates the gate lets through without a new acknowledgement."""
    sent = 0
    while gate.ready(ack) and sent < 10:
        sent += 1
        gate.sent(first + sent)
    return sent


def test_shut_until_the_page_is_there(clock: Clock) -> None:
    gate = Gate(clock)
    assert not gate.ready(0)
    gate.open(0)
    assert gate.ready(0)


def test_at_most_two_in_flight(clock: Clock) -> None:
    gate = Gate(clock)
    gate.open(0)
    assert drain(gate, 0, 0) == WINDOW == 2
    assert drain(gate, 1, 2) == 1
    assert drain(gate, 3, 3) == 2


def test_opening_forgives_what_was_never_seen(clock: Clock) -> None:
    gate = Gate(clock)
    gate.open(0)
    drain(gate, 0, 0)
    gate.open(2)
    assert drain(gate, 0, 2) == 2


def test_lost_acknowledgements_time_out(clock: Clock) -> None:
    gate = Gate(clock)
    gate.open(0)
    drain(gate, 0, 0)
    clock.pass_(TIMEOUT - 0.1)
    assert not gate.ready(0)
    clock.pass_(0.2)
    assert gate.ready(0)
    assert gate.timeouts == 1


def test_a_page_cannot_acknowledge_the_future(clock: Clock) -> None:
    gate = Gate(clock)
    gate.open(0)
    drain(gate, 0, 0)
    assert not gate.ready(10**9)
    assert not gate.ready(-5)


def test_only_new_steps_go_and_the_count_follows_the_data(clock: Clock, tmp_path: object) -> None:
    library = Library(str(tmp_path))
    engine = FakeEngine(library)
    run = engine.begin(build("digits", "conv2", (3, 5), size=32)).result()
    stream, numbers = Stream(clock), []
    stream.live.on_change("data", lambda attr, old, new: numbers.append(new["sent"]))
    engine.turn(3)
    with library.open(run) as reader:
        assert not stream.push(run, reader)  # nobody is there
        stream.open()
        assert stream.push(run, reader)
        assert not stream.push(run, reader)  # not twice
        engine.turn()
        assert stream.push(run, reader)
        assert numbers == [[1], [2]]
        header, pictures = unpack(stream.live.data["packed"][0].tobytes())
        assert header["step"] == 3
        assert [item["channel"] for item in header["items"]] == [3, 5]
        assert pictures == [frame.data for frame in reader.frames(3)]
    engine.close()
