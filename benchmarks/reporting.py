"""``vizcore serve`` with one more page, ``/bench``: the dashboard in a frame that measures itself and reports.

A page under browser automation streams several times slower, so the browser is only started and left alone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tornado.web import RequestHandler

import app.serve

SCRIPTS = ("reporting", "camera", "wall")


class Page(RequestHandler):
    """The frame and its script."""

    def get(self) -> None:
        name = self.get_query_argument("script", SCRIPTS[0])
        script = (Path(__file__).parent / f"{name if name in SCRIPTS else SCRIPTS[0]}.js").read_text()
        self.finish(
            '<!doctype html><html><body style="margin:0"><iframe id="page" allow="camera" '
            'style="border:0;width:1280px;height:800px">'
            f"</iframe><script>{script}</script></body></html>"
        )


class Report(RequestHandler):
    """Takes the numbers and puts them where the benchmark looks for them."""

    def check_xsrf_cookie(self) -> None:
        """The report comes from our own page on loopback."""

    def post(self) -> None:
        target = Path(os.environ["VIZCORE_BENCH_REPORT"])
        temporary = target.with_suffix(".new")
        temporary.write_text(json.dumps(json.loads(self.request.body)))
        temporary.replace(target)


class Reporting(app.serve.Dashboard):
    """The dashboard's own server with two more addresses."""

    def customize_kwargs(self, args: Any, server_kwargs: dict[str, Any]) -> dict[str, Any]:
        known = super().customize_kwargs(args, server_kwargs)
        return {**known, "extra_patterns": [("/bench", Page), ("/bench/report", Report), *known["extra_patterns"]]}


if __name__ == "__main__":
    app.serve.Dashboard = Reporting  # type: ignore[misc]
    sys.exit(app.serve.main())
