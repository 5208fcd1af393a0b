"""``vizcore serve``: what it refuses, and that it serves."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from app.hub import Options
from app.serve import DEFAULTS, Dashboard, Unheard, is_public, main, prepare


@pytest.mark.parametrize("argv", [["--address", "0.0.0.0"], ["--address", ""], ["--address", "192.168.1.5"]])
def test_a_public_address_needs_protection(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    told = capsys.readouterr().err
    assert "--insecure" in told
    assert "Traceback" not in told


def test_a_taken_port_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["--port", str(taken.getsockname()[1])]) == 2
    assert "--port 0" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--port", "abc"], ["--bogus"], ["--atlas"], ["--dev"]])
def test_wrong_arguments_are_a_sentence(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert argv[0] in said
    assert said.strip().endswith("See vizcore serve --help.")


def test_help_shows_what_is_needed_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert said.index("--port") < said.index("--model") < said.index("--json") < said.index("--log-level")
    assert "--glob" not in said


def test_machines_are_told_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--num-procs", "2", "--json"]) == 2
    said = capsys.readouterr()
    assert set(json.loads(said.out)["error"]) == {"kind", "message", "hint"}
    assert said.err == ""


@pytest.mark.parametrize("argv", [["--arch", "resnet18"], ["--arch", "resnet18", "--model", "nowhere/x.pt"]])
def test_a_weights_file_must_be_there(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert "--model FILE" in said
    assert "nowhere" not in said


def test_several_processes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--num-procs", "2"]) == 2
    assert "one process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "public"),
    [("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True), ("::", True), (None, True)],
)
def test_what_is_public(address: str | None, public: bool) -> None:
    assert is_public(address) is public


def test_defaults_are_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    Dashboard(parser)
    parser.set_defaults(**DEFAULTS)
    args = parser.parse_args(["--port", "0", "--model", "digits"])
    monkeypatch.setenv("VIZCORE_MODEL", "")
    prepare(args)
    assert args.address == "127.0.0.1"
    assert args.session_token_expiration == 7 * 24 * 3600
    assert (args.unused_session_lifetime, args.check_unused_sessions) == (60_000, 10_000)
    kwargs = Dashboard(argparse.ArgumentParser()).customize_kwargs(args, {"sign_sessions": False})
    assert kwargs["sign_sessions"]
    assert len(kwargs["secret_key"]) > 20
    assert args.websocket_compression_level is None
    assert args.show is False
    assert args.allow_websocket_origin == [f"localhost:{args.port}", f"127.0.0.1:{args.port}"]
    assert os.environ["VIZCORE_MODEL"] == "digits"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["-m", "app.serve", "--port", "0", "--json"], ["-m", "bokeh", "serve", "app", "--port", "0"]]
)
def test_both_ways_to_serve_give_page_and_addresses(command: list[str], home: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, *command], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            assert server.stdout is not None
            line = next(line for line in server.stdout if "http://" in line)
            found = re.search(r"http://[^:/]+:(\d+)", line)
            assert found is not None
            host = f"localhost:{found[1]}"
            for path in ("/healthz", "/metrics", "/app"):
                connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
                connection.request("GET", path, headers={"Host": host})
                assert connection.getresponse().status == 200, path
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


@pytest.mark.slow
@pytest.mark.parametrize("ends", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGINT, signal.SIGINT]])
def test_a_server_ends_although_nobody_reads_what_it_says(ends: list[signal.Signals], home: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-m", "app.serve", "--port", "0", "--json", "--model", "digits"],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        address = json.loads(server.stdout.readline())["address"]
        server.stdout.close()
        try:
            with urllib.request.urlopen(address.removesuffix("app") + "healthz") as answer:  # it listens to signals too
                assert answer.status == 200
            for end in ends:
                server.send_signal(end)
                time.sleep(0.2)
            said = server.communicate(timeout=30)[1]
        finally:
            server.kill()
        assert server.returncode in (0, 130, -signal.SIGINT)
        assert "Traceback" not in said


def test_a_stream_without_a_reader_takes_everything(tmp_path: Path) -> None:
    read, written = os.pipe()
    with os.fdopen(written, "w") as stream:
        heard = Unheard(stream)
        assert heard.write("a") == 1
        assert os.read(read, 9) == b"a"
        os.close(read)
        assert heard.write("bc") == 2
        assert heard.write("d") == 1
    assert Unheard(None).write("e") == 1
    heard = Unheard((tmp_path / "x").open("w"))
    heard._stream.close()  # type: ignore[union-attr]
    assert heard.write("f") == 1


@pytest.mark.parametrize(
    ("flags", "open_"),
    [
        ([], True),
        (["--address", "localhost"], True),
        (["--allow-websocket-origin", "127.0.0.1:9000"], True),
        (["--address", "0.0.0.0", "--insecure"], False),
        (["--allow-websocket-origin", "my.domain.org"], False),
        (["--allow-websocket-origin", "*"], False),
        (["--use-xheaders"], False),
    ],
)
def test_folders_of_pictures_are_open_to_this_machine_only(
    flags: list[str], open_: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIZCORE_PICTURES", "")
    parser = argparse.ArgumentParser()
    Dashboard(parser)
    parser.set_defaults(**DEFAULTS)
    prepare(parser.parse_args(["--port", "0", "--pictures", str(tmp_path), *flags]))
    options = Options.from_environment()
    assert options.pictures == str(tmp_path)
    assert options.anywhere is open_
