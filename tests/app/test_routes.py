"""Addresses beside the page, asked of a real server in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.server.server import Server
from PIL import Image
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from app.files import MAX_UPLOAD
from app.guard import FOREVER
from app.hub import Hub, set_hub
from app.looking import MAX_PICTURE
from app.routes import PATTERNS, install
from tests.app.fake_server import make
from tests.conftest import Run
from vizcore import assets
from vizcore.export import read_recipe, recipe_of
from vizcore.history import unpack
from vizcore.spec import CODE, build


@dataclass
class Running:
    server: Server
    hub: Hub
    run: str

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """The answer to a path that is sent as it stands."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        connection.putrequest("GET", path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("routes")
    made: list[tuple[Server, Hub]] = []
    ready = threading.Event()

    def work() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        server, hub = make(home=str(home), pace=None, origins=None)
        made.append((server, hub))
        server.start()
        ready.set()
        server.io_loop.start()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(30)
    server, hub = made[0]
    run = hub.engine.begin(build("digits", "conv2", (3, 5), size=32, steps=20)).result()
    hub.engine.turn(6)
    hub.engine.knob(run, "rate", 0.5)
    hub.engine.turn(2)
    hub.engine.flush()
    yield Running(server, hub, run)
    server.io_loop.add_callback(server.stop)
    server.io_loop.add_callback(server.io_loop.stop)
    thread.join(10)
    hub.close()
    set_hub(None)


def test_health_builds_no_session(running: Running) -> None:
    status, headers, body = running.get("/healthz")
    assert (status, body) == (200, b"ok\n")
    assert headers["Cache-Control"] == "no-store"
    assert running.server.get_sessions("/app") == []


def test_the_root_leads_to_the_page(running: Running) -> None:
    status, headers, _ = running.get("/")
    assert status == 302
    assert headers["Location"].endswith("/app")


def test_frames_are_the_exact_step_and_may_be_kept_for_ever(running: Running) -> None:
    status, headers, body = running.get(f"/frames/{running.run}/5?r=0")
    assert status == 200
    assert headers["Cache-Control"] == FOREVER
    for query in ("", "?r=1", "?r=x"):  # whoever does not know the revision must ask each time
        assert running.get(f"/frames/{running.run}/5{query}")[1]["Cache-Control"] == "no-cache"
    header, pictures = unpack(body)
    with running.hub.library.open(running.run) as reader:
        assert pictures == [frame.data for frame in reader.frames(5)]
    assert (header["step"], [item["channel"] for item in header["items"]]) == (5, [3, 5])


def test_steps_that_are_made_anew_have_another_address(running: Running) -> None:
    run, writer = running.hub.library.create(build("digits", "conv2", (3, 5), size=32, steps=20))
    with writer:
        for step in range(6):
            writer.add(step, np.zeros((2, 32, 32, 1), np.uint8), np.ones(2), np.ones(2))
        writer.rewind(3)
    assert running.get(f"/frames/{run}/5?r=0")[0] == 404
    assert running.get(f"/frames/{run}/3?r=0")[1]["Cache-Control"] == "no-cache"
    assert running.get(f"/frames/{run}/3/5?r=1")[1]["Cache-Control"] == FOREVER


def test_one_picture_is_served_as_stored(running: Running) -> None:
    status, headers, body = running.get(f"/frames/{running.run}/5/3")
    with running.hub.library.open(running.run) as reader:
        frame = reader.frame(5, 3)
    assert frame is not None
    assert (status, headers["Content-Type"], body) == (200, frame.codec, frame.data)
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/frames/RUN/8000", "/frames/RUN/5/4", "/frames/20200101-000000-abcdef/1", "/frames/RUN/-1",
        "/frames/RUN/999999999",
        "/frames/../../etc/passwd", "/frames/%2e%2e/%2e%2e/etc/passwd", "/frames/%252e%252e/1", "/frames/RUN/5/../5",
        "/runs/20200101-000000-abcdef", "/runs/RUN.vizrun", "/runs/..%2fx", "/export/RUN/5/9.png", "/frames/RUN/٣",
    ],
)  # fmt: skip
def test_everything_else_is_not_there(running: Running, path: str) -> None:
    quoted = path.replace("RUN", running.run).encode("utf-8").decode("latin-1")
    status, headers, body = running.get("".join(c if ord(c) < 128 else f"%{ord(c):02x}" for c in quoted))
    assert status == 404
    assert str(Path.home()).encode() not in body
    assert headers.get("Cache-Control") != FOREVER


def test_a_run_tells_what_it_is(running: Running) -> None:
    status, _, body = running.get(f"/runs/{running.run}?scores=1")
    answer = json.loads(body)
    assert status == 200
    assert answer["spec"]["channels"] == answer["channels"] == [3, 5]
    assert answer["steps"] == [[0, 7, 1]]
    assert answer["knobs"] == [[6, "rate", 0.5]]
    with running.hub.library.open(running.run) as reader:
        steps, scores, norms = (table.tolist() for table in reader.scores())
    assert answer["scores"] == {"steps": steps, "scores": scores, "norms": norms}
    assert len(steps) == 8


def test_an_exported_picture_has_its_recipe_inside(running: Running, run: Run, tmp_path: Path) -> None:
    status, headers, body = running.get(f"/export/{running.run}/7/5.png")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    recipe = read_recipe(io.BytesIO(body))
    assert (recipe.spec.layer, recipe.step, recipe.channel, len(recipe.knobs)) == ("conv2", 7, 5, 1)
    with running.hub.library.open(running.run) as reader:
        assert read_recipe(io.BytesIO(body)) == recipe_of(reader, 7, 5)
    fork = running.hub.engine.fork(running.run, 4, seed=3).result()
    running.hub.engine.stop(fork)
    for step in (2, 4):  # of the parent, and its own: the same recipe by whatever way
        _, _, body = running.get(f"/export/{fork}/{step}/5.png")
        out = tmp_path / f"{step}.png"
        told = run("runs", "export", running.hub.library.path(fork), "--out", out, "--channels", "5", "--steps", step)
        assert told["filters"] == [5]
        assert read_recipe(io.BytesIO(body)) == read_recipe(out)
        assert len(read_recipe(out).above) == (step == 4)
    _, _, earlier = running.get(f"/export/{running.run}/5/5.png")
    assert read_recipe(io.BytesIO(earlier)).knobs == ()


def test_metrics_are_numbers(running: Running) -> None:
    status, _, body = running.get("/metrics")
    answer = json.loads(body)
    assert status == 200
    assert {"loop_lag_ms", "sessions", "runs", "updates_per_second", "engine"} <= set(answer)
    assert answer["runs"][running.run]["step"] == 7


@pytest.mark.parametrize("path", ["/metrics", "/frames/RUN/5", "/runs/RUN"])
def test_another_name_for_this_machine_is_refused(running: Running, path: str) -> None:
    status, _, body = running.get(path.replace("RUN", running.run), Host="evil.example:80")
    assert status == 403
    assert body == b"Unknown host\n"
    assert running.get("/healthz", Host="probe")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed_from_outside(running: Running, method: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.server.port, timeout=20)
    connection.request(method, f"/runs/{running.run}", headers={"Origin": "http://evil.example"})
    assert connection.getresponse().status in (403, 405)


def test_a_visit_builds_a_session_that_works_only_when_the_page_is_there(running: Running) -> None:
    begun = len([call for call in running.hub.engine.calls if call[0] == "begin"])
    status, _, body = running.get("/app")
    assert status == 200
    assert b"Bokeh" in body
    time.sleep(0.2)
    assert len(running.server.get_sessions("/app")) == 1
    assert len([call for call in running.hub.engine.calls if call[0] == "begin"]) == begun


@pytest.mark.parametrize("query", ["", "?page=image&layer=block2"])
def test_the_bare_address_leads_to_the_page_with_all_that_it_asks_for(running: Running, query: str) -> None:
    status, headers, _ = running.get(f"/{query}")
    assert (status, headers["Location"]) == (302, f"/app{query}")


def test_a_plain_bokeh_serve_gets_the_same_addresses_once() -> None:
    from bokeh.server.urls import toplevel_patterns

    assert install()
    assert install()
    ours = [entry[0] for entry in toplevel_patterns if entry in PATTERNS]
    assert sorted(ours) == sorted(pattern for pattern, _ in PATTERNS)


@pytest.mark.parametrize(("names", "leads"), [(["/app"], "/app?page=image&layer=block2"), (["/app", "/b"], None)])
def test_a_plain_bokeh_serve_takes_along_what_the_bare_address_asks_for(names: list[str], leads: str | None) -> None:
    install()

    async def ask() -> HTTPResponse:
        server = Server(dict.fromkeys(names, lambda document: None), port=0, address="127.0.0.1")
        address = f"http://127.0.0.1:{server.port}/?page=image&layer=block2"
        try:
            return await AsyncHTTPClient().fetch(address, follow_redirects=False, raise_error=False)
        finally:
            server.stop()

    answer = asyncio.run(ask())
    assert answer.headers.get("Location") == leads
    assert answer.code == (302 if leads else 200)


def send(running: Running, body: bytes, **headers: str) -> tuple[int, bytes]:
    """POST /open with headers that are sent as they stand."""
    connection = http.client.HTTPConnection("127.0.0.1", running.server.port, timeout=20)
    host = headers.pop("Host", f"127.0.0.1:{running.server.port}")
    connection.putrequest("POST", "/open", skip_host=True)
    connection.putheader("Host", host)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    with contextlib.suppress(OSError):
        connection.send(body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_file_is_taken_from_a_page_of_this_server_only(running: Running) -> None:
    home = f"http://127.0.0.1:{running.server.port}"
    status, body = send(running, b"some bytes" * 100_000, Origin=home)
    assert status == 200
    path = running.hub.files.path(json.loads(body)["token"])
    assert path.read_bytes() == b"some bytes" * 100_000
    kept = dict(running.hub.files._files)
    for headers in (
        {}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"{home}.evil.example"},
        {"Origin": home, "Host": "evil.example"}, {"Origin": home, "Sec-Fetch-Site": "cross-site"},
    ):  # fmt: skip
        assert send(running, b"x", **headers)[0] == 403, headers
    assert running.hub.files._files == kept


def test_a_file_over_the_limit_is_refused_before_it_is_read(running: Running) -> None:
    home = f"http://127.0.0.1:{running.server.port}"
    kept = dict(running.hub.files._files)
    assert send(running, b"", Origin=home, Content_Length=str(MAX_UPLOAD + 1))[0] == 413
    assert send(running, b"", Origin=home, Content_Length="no")[0] in (400, 411)
    assert running.get("/open")[0] == 405
    assert running.hub.files._files == kept


def test_an_export_is_fetched_by_its_token_alone(running: Running) -> None:
    token, path = running.hub.files.new("film.gif")
    path.write_bytes(b"GIF89a")
    status, headers, body = running.get(f"/exports/{token}")
    assert (status, body) == (200, b"GIF89a")
    assert headers["Content-Disposition"] == 'attachment; filename="film.gif"'
    for wrong in ("x" * 22, f"{token}/../x", "..%2f..%2fetc%2fpasswd", token[:-1]):
        assert running.get(f"/exports/{wrong}")[0] == 404
    running.hub.files.drop(token)
    assert running.get(f"/exports/{token}")[0] == 404


def test_a_sheet_has_all_filters_and_the_recipe(running: Running) -> None:
    status, headers, body = running.get(f"/export/{running.run}/3.png")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    recipe = read_recipe(io.BytesIO(body))
    assert (recipe.step, recipe.channel, recipe.spec.channels) == (3, None, (3, 5))
    assert running.get(f"/export/{running.run}/999.png")[0] == 404


def test_the_list_and_the_thumbnails(running: Running) -> None:
    running.hub.shelf.refresh(now=True)
    running.hub._looking.submit(lambda: None).result(10)
    status, _, body = running.get("/library")
    assert status == 200
    assert running.run in [run["id"] for run in json.loads(body)["runs"]]
    status, headers, body = running.get(f"/thumbnails/{running.run}?v=1")
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "image/webp", FOREVER)
    with Image.open(io.BytesIO(body)) as image:
        assert image.size == (112, 56)
    assert running.get("/thumbnails/20200101-000000-abcdef")[::2] == (204, b"")


def test_the_pictures_that_a_run_was_given(running: Running) -> None:
    given = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    source = assets.keep_picture(given)
    spec = build("digits", "", (3,), CODE, objective="class", steps=1, source=source, mask="ab" * 12)
    run = running.hub.engine.begin(spec).result()
    status, headers, body = running.get(f"/runs/{run}/source.png")
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "image/png", "no-store")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(body))), given)
    for which in ("mask", "picture"):  # one that is not on this machine, and none
        assert running.get(f"/runs/{run}/{which}.png")[::2] == (204, b"")
    for path in (f"/runs/{run}/generator.png", f"/runs/{run}/../{source}.png", "/runs/20200101-000000-abcdef/mask.png"):
        assert running.get(path)[0] == 404
    assert running.get(f"/runs/{run}/source.png", Host="evil.example")[0] == 403


def look(running: Running, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    """POST a picture to be looked at."""
    connection = http.client.HTTPConnection("127.0.0.1", running.server.port, timeout=20)
    home = f"http://127.0.0.1:{running.server.port}"
    connection.request("POST", path, body, {"Origin": home, **headers})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_picture_is_looked_at_for_a_page_of_this_server_only(running: Running) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 90, 30)).save(stream, "PNG")
    path = "/look/maps?model=digits&layer=conv2"
    status, body = look(running, path, stream.getvalue())
    assert status == 200
    length = int.from_bytes(body[:4], "little")
    header = json.loads(body[4 : 4 + length])
    start, size = header["values"]["$"]
    assert size == 2 * int(np.prod(header["shape"]))
    assert len(body) == 4 + length + start + size
    for headers in ({"Origin": "http://evil.example"}, {"Origin": ""}, {"Sec-Fetch-Site": "cross-site"}):
        assert look(running, path, stream.getvalue(), **headers)[0] == 403
    assert look(running, path, b"x", Host="evil.example")[0] == 403
    assert running.get(path)[0] == 405
    for wrong in ("model=../x&layer=conv2", "model=digits&layer=conv9", "model=digits"):
        status, body = look(running, f"/look/maps?{wrong}", stream.getvalue())
        assert status == 200
        assert json.loads(body)["message"]
    status, body = look(running, path, b"no picture")
    assert (status, json.loads(body)["kind"]) == (200, "PictureError")
    status, body = look(running, "/look/project?model=digits&layer=conv2&channel=-1&method=deconv", stream.getvalue())
    assert json.loads(body)["kind"] == "LayerError"
    for wrong in ("y=3&x=no", "y=-1&x=2"):
        path_of_neuron = f"/look/project?model=digits&layer=conv2&channel=1&method=deconv&{wrong}"
        assert json.loads(look(running, path_of_neuron, stream.getvalue())[1])["kind"] in ("SpecError", "LayerError")
    sent = {"Content-Length": str(MAX_PICTURE + 1)}
    connection = http.client.HTTPConnection("127.0.0.1", running.server.port, timeout=20)
    connection.request("POST", path, None, {"Origin": f"http://127.0.0.1:{running.server.port}", **sent})
    assert connection.getresponse().status == 413


def test_weights_and_columns_are_answered(running: Running) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 90, 30)).save(stream, "PNG")

    def header(path: str, body: bytes = b"") -> dict[str, Any]:
        status, answer = look(running, path, body)
        assert status == 200
        length = int.from_bytes(answer[:4], "little")
        told: dict[str, Any] = json.loads(answer[4 : 4 + length])
        return told

    told = header("/look/kernels?model=digits&layer=conv2&first=5&skip=3")
    assert (told["first"], told["skip"], told["whole"]) == (5, 3, [32, 96, 3, 3])
    assert header("/look/carry?model=digits&layer=conv2&channel=2")["channel"] == 2
    assert header("/look/inspect?model=digits")["findings"][0]["filters"] == [1, 4]
    told = header("/look/column?model=digits&method=deconv&depth=last", stream.getvalue())
    assert (told["layer"], sorted(told["panes"])) == ("conv2", ["focus", "heat", "original", "relevance"])
    for wrong in ("kernels?model=digits&layer=conv2&first=x", "carry?model=digits&layer=conv2&channel=-1"):
        assert json.loads(look(running, f"/look/{wrong}", b"")[1])["message"]
    assert look(running, "/look/anything?model=digits", b"")[0] == 404


def test_a_check_tells_how_far_it_is_line_by_line(running: Running) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 90, 30)).save(stream, "PNG")
    path = "/look/check?model=digits&layer=conv2&channel=1&method=guided"
    for body, wanted in ((stream.getvalue(), "points"), (b"no picture", "kind")):
        answers: list[tuple[int, bytes]] = []
        asking = threading.Thread(target=lambda body=body, to=answers: to.append(look(running, path, body)))
        asking.start()
        while not running.hub.engine.unfinished:
            time.sleep(0.01)
        running.hub.engine.finish()
        asking.join(20)
        *progress, last = [json.loads(line) for line in answers[0][1].decode().split("\n")]
        assert all(set(line) == {"done"} for line in progress)
        assert progress
        assert wanted in last
