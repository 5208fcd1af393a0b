"""The page Generators: what is begun, which knobs act at once, what is told of chains, and addresses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import target
from app.pages.generators import COLD, KNOBS
from app.permalink import encode
from tests.app.conftest import Visit
from vizcore.errors import GeneratorError, LayerError
from vizcore.generate.spec import VARIANTS
from vizcore.params import Value
from vizcore.spec import CODE, HOT, PARAMS, PRESETS, RunSpec, build

Make = Callable[..., Visit]


def told(here: Visit, name: str) -> Any:
    text = getattr(here.session.pages["generators"].state, name)
    return json.loads(text) if text else None


def begun(here: Visit, **fields: Any) -> Visit:
    wish = {"generator": "digits-generator", "targets": "3,7", "chains": 2, "variant": "joint PPGN-h",
            "values": {"steps": 6}}  # fmt: skip
    here.ask("begin", page="generators", **{**wish, **fields})
    return here.go()


@pytest.fixture
def here(visit: Make) -> Visit:
    return visit("page=generators").arrive()


def test_the_form_is_made_of_the_parameters(here: Visit) -> None:
    fields = told(here, "fields")
    assert [field["name"] for field in fields["knobs"]] == ["steps", *KNOBS]
    assert set(KNOBS) <= set(HOT)
    assert not set(COLD) & set(HOT)
    for field in [*fields["knobs"], *fields["cold"]]:
        meta = PARAMS[field["name"]]
        assert (field["help"], field["kind"], field["choices"]) == (meta.help, meta.kind, list(meta.choices))
    assert list(fields["variants"]) == list(VARIANTS)
    assert fields["variants"]["DGN-AM"]["eps1"] == 0
    assert told(here, "network")["model"] == "digits"  # a generator fits it; none fits the server's own
    (one,) = [entry for entry in told(here, "generators") if entry["name"] == "digits-generator"]
    assert (one["size"], one["channels"], one["code"], one["encoder"]) == (28, 1, [64], True)
    assert not here.calls("begin")  # the script begins


def test_chains_are_begun_and_told_of(here: Visit) -> None:
    begun(here)
    spec = here.calls("begin")[0][0]
    assert spec == build("digits", "", (6, 7, 14, 15), "joint PPGN-h", objective="class", chains=2, steps=6, size=28,
                         generator="digits-generator")  # fmt: skip
    here.go(turns=4)
    run = told(here, "run")
    assert (run["targets"], run["latest"], run["steps"], run["kept"]) == ([3, 3, 7, 7], 3, 6, [[0, 3, 1]])
    curves = told(here, "curves")
    assert len(curves["scores"]) == 4
    assert curves["ends"] == []
    here.go(turns=6)
    assert told(here, "run")["state"] == "done"
    assert [end[0] for end in told(here, "curves")["ends"]] == [6]


def test_units_are_aimed_at_and_resets_are_ends(here: Visit) -> None:
    begun(here, layer="conv2", targets="0-1", chains=1, values={"steps": 12, "reset": 3})
    spec = here.calls("begin")[0][0]
    assert (spec.layer, spec.objective, spec.channels) == ("conv2", "channel", (0, 1))
    here.go(turns=8)
    ends = told(here, "curves")["ends"]
    assert [end[0] for end in ends] == [3, 7]
    assert all(len(end) == 3 for end in ends)


def test_a_knob_acts_in_mid_run_and_stands_in_the_log(here: Visit) -> None:
    begun(here, values={"steps": 50}).go(turns=3)
    here.ask("knob", page="generators", name="eps3", value=0.5)
    here.ask("knob", page="generators", name="box", value="off")
    here.ask("knob", page="generators", name="seed", value=3)
    here.go(turns=2)
    assert [call[1:] for call in here.calls("knob")] == [("eps3", 0.5), ("box", "off")]
    run = told(here, "run")
    assert [(name, value) for _, name, value, _ in run["knobs"]] == [("eps3", 0.5), ("box", "off")]
    assert (run["now"]["eps3"], run["now"]["box"]) == (0.5, "off")


def test_pause_step_and_fork(here: Visit) -> None:
    begun(here, values={"steps": 50}).go(turns=5)
    first = told(here, "run")["id"]
    here.ask("pause", page="generators")
    here.go()
    at = told(here, "run")["latest"]
    here.ask("once", page="generators")
    here.go(turns=1)
    assert told(here, "run")["latest"] == at + 1
    here.ask("fork", page="generators", step=2)
    here.go()
    run = told(here, "run")
    assert run["id"] != first
    assert run["root"] == 2
    assert here.engine.states[first].state == "paused"


@pytest.mark.parametrize(("fields", "words"), [
    ({"targets": "12"}, "no class 12"),
    ({"targets": "3-"}, "has '3-' in it"),
    ({"targets": "0-9", "chains": 40}, "chains are too many"),
    ({"layer": "conv2", "targets": "99"}, "no filter 99"),
    ({"layer": "nowhere"}, "no filter"),
    ({"generator": "/etc"}, "no generator"),
    ({"variant": "best"}, "no such method"),
])  # fmt: skip
def test_what_cannot_be_is_said_in_one_sentence(here: Visit, fields: dict[str, Any], words: str) -> None:
    begun(here, **fields)
    assert words in here.told("notice")["message"]
    assert here.told("notice")["hint"]
    assert not here.calls("begin")


def test_an_error_of_the_engine_leaves_the_run_before(here: Visit) -> None:
    begun(here)
    run = told(here, "run")["id"]
    here.engine.fail["begin"] = GeneratorError("There is no generator for it.", "Train one.")
    begun(here)
    assert here.told("notice")["message"] == "There is no generator for it."
    assert told(here, "run")["id"] == run


def test_whatever_the_page_sends_is_brought_into_range(here: Visit) -> None:
    begun(here, chains="many", values={"eps1": math.inf, "rate": -3, "gradient": "none", "evil": 1, "reset": None})
    spec = here.calls("begin")[0][0]
    assert (spec.chains, spec.eps1, spec.rate, spec.gradient, spec.reset) == (1, 1e6, 1e-6, "paper", 0)


def test_a_hidden_page_watches_no_run(here: Visit) -> None:
    begun(here)
    run = told(here, "run")["id"]
    here.ask("page", name="ascent")
    here.go()
    assert run in [call[0] for call in here.calls("unwatch")]


def test_codes_of_the_library_open_here(here: Visit, visit: Make) -> None:
    begun(here).go(turns=8)
    run = told(here, "run")["id"]
    other = visit("page=library").arrive()
    other.ask("open", page="ascent", run=run, step=2, channel=7)
    other.go()
    assert other.session.here == "generators"
    assert told(other, "run")["open"] == {"step": 2, "filter": 7, "n": 1}
    wrong = visit("page=generators&run=20200101-000000-abcdef").arrive()
    assert wrong.told("notice")["kind"] == "error"
    plain = visit("page=generators&model=digits&layer=conv2&filters=0-3").arrive()
    assert "not of a generator" in plain.told("notice")["message"]


def test_another_image_brings_the_values_that_suit_it() -> None:
    description = {"layers": [{"path": "conv2", "channels": 32}], "card": {"classes": []}, "default_size": 56}
    plain = build("digits", "conv2", (0, 1), size=56, seed=4)
    codes = target.changed(plain, {"parameterization": "generator"}, description)
    assert (codes.preset, codes.jitter, codes.decay, codes.seed, codes.channels) == (CODE, 0, 0, 4, (0, 1))
    back = target.changed(codes, {"parameterization": "pixel"}, description)
    assert (back.preset, back.parameterization, back.optimizer, back.jitter) == ("Crisp", "pixel", "adam", 8)
    with pytest.raises(LayerError, match="beyond them"):
        target.check(codes.replace(channels=(64, 66), chains=2), description)
    assert target.check(codes.replace(channels=(62, 63), chains=2), description).targets == (31, 31)


def test_a_link_to_codes_of_classes_opens_on_the_page_ascent(visit: Make) -> None:
    spec = build("digits", "", (3, 8), CODE, objective="class", size=56)
    here = visit(encode(spec)).arrive()
    here.go()
    assert here.calls("begin")[0][0] == spec


def values(name: str) -> st.SearchStrategy[Value]:
    meta = PARAMS[name]
    if meta.kind == "bool":
        return st.booleans()
    if meta.kind == "choice":
        return st.sampled_from(meta.choices)
    if meta.kind == "int":
        return st.integers(int(meta.minimum), int(meta.maximum))
    return st.floats(meta.minimum, meta.maximum)


walks = st.builds(
    lambda preset, channels, chains, changes: build(
        "digits", "", [channel for channel in channels if channel // chains < 10] or [0], preset, objective="class",
        chains=chains, generator="digits-generator", **changes,
    ),
    st.sampled_from([name for name in PRESETS if name in VARIANTS]),
    st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True),
    st.integers(1, 6),
    st.fixed_dictionaries({}, optional={name: values(name) for name in (*KNOBS, *COLD, "steps")}),
)  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(walks)
def test_an_address_begins_the_same_walk_where_the_run_is_not(visit: Make, spec: RunSpec) -> None:
    here = visit(f"page=generators&{encode(spec, '20200101-000000-abcdef')}&filter=0&step=3").arrive()
    assert here.calls("begin")[-1][0] == spec
    assert told(here, "run")["address"] == encode(spec, told(here, "run")["id"])
    here.session.close()
