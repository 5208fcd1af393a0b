"""The page with synthetic runs: ``python -m tests.app.fake_server --port 5010 [--pace 0.05]``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from bokeh.application import Application
from bokeh.application.handlers import DirectoryHandler
from bokeh.server.server import Server

import app
from app.hub import Hub, Options, set_hub
from app.routes import SERVED
from app.serve import free_port
from tests.app.fake import FakeEngine
from vizcore.runs import Library


def make(
    port: int = 0, pace: float | None = 0.05, home: str | None = None, origins: list[str] | None = None
) -> tuple[Server, Hub]:
    """A server that is not yet started, and its hub."""
    library = Library(home or tempfile.mkdtemp(prefix="vizcore-fake-"))
    hub = Hub(library, FakeEngine(library, pace), Options(anywhere=True))
    set_hub(hub)
    application = Application(DirectoryHandler(filename=str(Path(app.__file__).parent)))
    port = port or free_port("127.0.0.1", 0)
    server = Server(
        {"/app": application}, port=port, address="127.0.0.1", extra_patterns=SERVED,
        allow_websocket_origin=origins or [f"localhost:{port}", f"127.0.0.1:{port}"], session_token_expiration=86400,
    )  # fmt: skip
    return server, hub


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=5010)
    parser.add_argument("--pace", type=float, default=0.05)
    parser.add_argument("--home")
    args = parser.parse_args()
    if args.home:
        os.environ["VIZCORE_HOME"] = args.home  # pictures that runs name lie there, too
    server, _ = make(args.port, args.pace, args.home)
    sys.stdout.write(f"http://127.0.0.1:{server.port}/app\n")
    sys.stdout.flush()
    server.run_until_shutdown()


if __name__ == "__main__":
    main()
