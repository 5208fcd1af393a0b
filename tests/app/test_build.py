"""The application as Bokeh loads it: headless, without torch, without leaks."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path

from bokeh.application import Application
from bokeh.application.handlers import DirectoryHandler
from bokeh.document import Document

import app
from app.hub import Hub
from tests.app.conftest import Clock, Visit

FOLDER = Path(app.__file__).parent
VISIBLE = {"controls", "curves"}
HIDDEN = {"live", "flow", "frame", "ascent", "ask", "scores", "marks", "cursor"}


def test_the_folder_is_an_application(hub: Hub) -> None:
    application = Application(DirectoryHandler(filename=str(FOLDER)))
    asked = len(hub.engine.calls)
    doc = application.create_document()
    assert {root.name for root in doc.roots} == VISIBLE
    for name in HIDDEN:
        assert doc.get_model_by_name(name) is not None, name
    doc.validate()
    assert len(hub.engine.calls) == asked  # no work before somebody is there
    assert doc.config.reconnect_session is False
    assert len(doc.models) < 300


def test_the_page_is_built_without_torch(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from bokeh.application import Application\n"
        "from bokeh.application.handlers import DirectoryHandler\n"
        "import app.serve, app.routes\n"
        f"doc = Application(DirectoryHandler(filename={str(FOLDER)!r})).create_document()\n"
        "assert doc.get_model_by_name('controls') is not None\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('torch', 'torchvision', 'timm')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=FOLDER.parent, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_visits_leave_nothing_behind(hub: Hub) -> None:
    seen: list[weakref.ref[Document]] = []
    for _ in range(20):
        here = Visit(hub, Clock(), "filters=1&size=32")
        here.session.ready()
        here.ask("hello")
        here.go(0.12, turns=1)
        seen.append(weakref.ref(here.doc))
        session, doc = here.session, here.doc
        session.close()
        doc.clear()
        del here, session, doc
    gc.collect()
    assert sum(ref() is not None for ref in seen) <= 1
    assert len(hub.sessions) <= 1


def test_the_same_runs_behind_many_pages_are_opened_once(hub: Hub) -> None:
    first = Visit(hub, Clock()).arrive().go(turns=1)
    second = Visit(hub, Clock(), first.page.state.address).arrive()
    assert first.page.pilot.reader is second.page.pilot.reader
