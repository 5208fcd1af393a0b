"""The project as a whole: the direction of imports, and what is in the wheel."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

import vizcore
from vizcore.zoo.card import CARD, WEIGHTS, bundled

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_imports_point_one_way() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


LIGHT = ["errors", "params", "spec", "zoo.card", "history", "runs", "engine.client", "export", "cli", "reference"]


@pytest.mark.parametrize("name", LIGHT)
def test_what_the_page_imports_has_no_torch(name: str) -> None:
    """The server process stays small because of it."""
    code = f"import sys, vizcore.{name}; sys.exit('torch' in sys.modules or 'bokeh' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_one_version() -> None:
    assert PROJECT["version"] == vizcore.__version__


def test_the_serve_command_is_found_by_name() -> None:
    assert PROJECT["entry-points"]["vizcore.commands"]["serve"] == "app.serve:main"
    assert PROJECT["scripts"]["vizcore"] == "vizcore.cli:main"


def test_ci_is_executable() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", script]).returncode == 0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as ``pip wheel`` builds it."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--quiet", "--wheel-dir", str(out)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return zipfile.ZipFile(next(out.glob("*.whl")))


@pytest.mark.slow
def test_the_wheel_carries_the_page_and_the_networks(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for folder in ("vizcore", "app"):
        here = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and path.suffix != ".pyc" and "_models" not in path.parts
        }
        assert here <= names, f"not in the wheel: {sorted(here - names)}"
    assert "app/templates/index.html" in names
    for network in bundled():
        for file in (WEIGHTS, CARD):
            assert wheel.read(f"vizcore/_models/{network}/{file}") == (ROOT / "models" / network / file).read_bytes()


@pytest.mark.slow
def test_the_wheel_has_nothing_that_is_left_over(wheel: zipfile.ZipFile) -> None:
    for name in wheel.namelist():
        assert name.split("/")[0] in {"vizcore", "app", f"vizcore-{vizcore.__version__}.dist-info"}
        assert not name.endswith((".pyc", "resume.pt", ".vizrun")), name
    assert sum(info.compress_size for info in wheel.infolist()) < 20e6


@pytest.mark.slow
def test_the_wheel_has_the_commands_and_the_licence(wheel: zipfile.ZipFile) -> None:
    info = f"vizcore-{vizcore.__version__}.dist-info"
    entries = wheel.read(f"{info}/entry_points.txt").decode()
    assert "vizcore = vizcore.cli:main" in entries
    assert "serve = app.serve:main" in entries
    meta = message_from_string(wheel.read(f"{info}/METADATA").decode())
    assert meta["Requires-Python"] == ">=3.11"
    assert "MIT" in wheel.read(f"{info}/licenses/LICENSE").decode()


@pytest.mark.slow
def test_the_wheel_works_without_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Unpacked elsewhere, it finds its networks and its page in itself."""
    wheel.extractall(tmp_path / "site")
    code = (
        "import json, pathlib, app, vizcore.zoo.card as c; from importlib.metadata import entry_points as e; "
        "print(json.dumps([str(f) for f in c.bundled().values()] + [app.__file__]"
        " + [x.value for x in e(group='vizcore.commands')]))"
    )
    # -S leaves out the environment's site folder, in which the checkout is installed.
    site = f"import sys; sys.path[:0] = [{str(tmp_path / 'site')!r}]; "
    libraries = f"sys.path += [p for p in {sys.path!r} if p.endswith('site-packages')]; "
    result = subprocess.run(
        [sys.executable, "-S", "-c", site + libraries + code], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert str(ROOT) not in result.stdout.replace(str(Path(sys.prefix)), "")
    assert "digits" in result.stdout
    assert "imagenette-robust" in result.stdout
