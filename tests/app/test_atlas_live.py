"""What the page Atlas says, and that a picture comes to life from its recipe."""

from __future__ import annotations

import json
from collections.abc import Callable

from app.hub import Hub
from tests.app import fake_atlas
from tests.app.conftest import Visit
from tests.app.fake import LAYERS
from tests.app.test_travels import settle

Make = Callable[..., Visit]
LAYER = str(LAYERS[0]["path"])


def test_the_page_says_what_there_is_and_a_picture_goes_on_live(visit: Make, hub: Hub) -> None:
    here = visit().arrive()
    head = fake_atlas.make(hub.library.home / "atlases" / "one", {LAYER: 5})
    here.ask("page", name="atlas")
    settle(here.go(0.1))
    page = here.session.pages["atlas"]
    [told] = json.loads(page.state.atlases)
    assert (told["id"], told["filters"]) == ("one", 4)
    here.ask("live", page="atlas", atlas="one", tile=head.address(LAYER, 2))
    settle(here)
    assert here.session.here == "ascent"
    spec = here.page.pilot.wanted
    assert spec is not None
    assert (spec.layer, spec.channels, spec.size) == (LAYER, (2,), 64)
    here.ask("page", name="atlas")
    here.ask("live", page="atlas", atlas="../one", tile="0" * 40)
    settle(here)
    assert here.told("notice")["kind"] == "error"
