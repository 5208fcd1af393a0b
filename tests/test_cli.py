"""The command line: what it prints for machines, what it writes, and how it refuses."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vizcore import export, runs
from vizcore.cli import console, flags, main
from vizcore.errors import SpecError, StorageError
from vizcore.spec import PARAMS, RunSpec

Capture = pytest.CaptureFixture[str]
Run = Callable[..., dict[str, Any]]

FAST = ("--size", "16", "--steps", "3", "--threads", "1", "--set", "precision=fp32", "--pad", "0", "--jitter", "0")


# What machines read -------------------------------------------------------------------------------------------------


def test_models_lists_the_bundled_and_torchvisions(run: Run) -> None:
    models = {entry["name"]: entry for entry in run("models")["models"]}
    assert models["digits"] == {
        "name": "digits", "source": "bundled", "on_disk": True, "classes": 10, "size": 28, "channels": 1,
    }  # fmt: skip
    assert models["googlenet"]["source"] == "torchvision"
    assert not models["googlenet"]["on_disk"]


def test_layers_have_the_shapes_that_the_network_gives(run: Run) -> None:
    layers = {entry["path"]: entry for entry in run("layers", "digits")["layers"]}
    assert set(layers["conv2"]) == {"path", "kind", "channels", "height", "width", "receptive_field"}
    assert (layers["conv1"]["channels"], layers["conv1"]["height"]) == (16, 28)
    assert layers["conv2"]["channels"] == 32
    assert [e["path"] for e in run("layers", "digits", "--search", "conv")["layers"]] == ["conv1", "conv2"]
    assert run("layers", "digits", "--search", "zz")["layers"] == []


def test_render_writes_a_picture_per_filter_with_its_recipe(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    result = run("render", "digits", "conv2", "--channels", "1, 4-5", *FAST, "--seed", "7", "--out", str(out))
    wanted = {"run", "model", "layer", "size", "steps", "seconds", "steps_per_second", "device", "precision", "filters"}
    assert wanted <= set(result)
    assert (result["model"], result["layer"], result["size"], result["steps"]) == ("digits", "conv2", 16, 3)
    assert [item["channel"] for item in result["filters"]] == [1, 4, 5]
    for item in result["filters"]:
        assert {"channel", "start", "end", "status", "file"} <= set(item)
        recipe = export.read_recipe(item["file"])
        assert (recipe.spec.seed, recipe.step, recipe.channel) == (7, 3, item["channel"])
        assert recipe.spec.channels == (1, 4, 5)
        with Image.open(item["file"]) as picture:
            assert picture.size == (16, 16)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [Path(item["file"]).name for item in result["filters"]] + ["sheet.png"]
    )


def test_start_and_end_are_the_scores_of_the_pictures_themselves(run: Run, tmp_path: Path) -> None:
    """An oracle of its own: the network up to the layer by hand, on the file that was written."""
    from vizcore.zoo.load import load

    result = run("render", "digits", "conv1", "--channels", "2,9", *FAST, "--steps", "12", "--out", str(tmp_path / "o"))
    network = load("digits")
    conv = network.module.get_submodule("conv1")
    for item in result["filters"]:
        with Image.open(item["file"]) as picture:
            pixels = torch.from_numpy(np.array(picture)).float()[None, None] / 255
        activation = conv((pixels - network.card.mean[0]) / network.card.std[0])[0, item["channel"]]
        assert item["end"] == pytest.approx(float(activation.mean()), rel=1e-4, abs=1e-5)
        assert item["end"] > item["start"]


def test_render_keeps_the_run_unless_told_otherwise(run: Run, tmp_path: Path) -> None:
    base = ("render", "digits", "conv1", "--channels", "0-1", *FAST, "--out", str(tmp_path / "o"))
    assert run(*base, "--no-keep")["run"] is None
    assert run("runs", "list")["runs"] == []
    kept = run(*base)["run"]
    [entry] = run("runs", "list")["runs"]
    assert set(entry) >= {"id", "model", "layer", "channels", "steps", "state", "bytes", "parent", "created"}
    assert (entry["id"], entry["state"], entry["steps"], entry["channels"]) == (kept, "done", 3, [0, 1])
    shown = run("runs", "show", kept)
    assert shown["spec"]["channels"] == [0, 1]
    assert shown["step"] == 3
    assert shown["kept"] == [[0, 3, 1]]
    assert [item["channel"] for item in shown["filters"]] == [0, 1]
    assert run("runs", "show", str(runs.Library().path(kept))) == shown


def test_exact_gives_the_same_bytes_twice(run: Run, tmp_path: Path) -> None:
    pictures = []
    for name in ("a", "b"):
        result = run("render", "digits", "conv2", "--channels", "3", *FAST, "--exact", "--out", str(tmp_path / name))
        with Image.open(result["filters"][0]["file"]) as picture:
            pictures.append(picture.tobytes())
    assert pictures[0] == pictures[1]


def test_the_size_and_the_filters_have_defaults_from_the_network(run: Run, tmp_path: Path) -> None:
    result = run(
        "render", "digits", "conv1", "--steps", "1", "--threads", "1", "--no-keep", "--out", str(tmp_path / "o")
    )
    assert result["size"] == 56  # twice that of the network, which is small
    assert [item["channel"] for item in result["filters"]] == list(range(16))


def test_a_factory_of_the_current_folder_may_be_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    code = "from torch import nn\ndef tiny():\n    print('hello')\n    return nn.Sequential(nn.Conv2d(3, 4, 3))\n"
    (tmp_path / "my_networks.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    layers = run("layers", "my_networks:tiny", "--size", "16")["layers"]  # and what it prints is not in the way
    assert [(layer["path"], layer["channels"]) for layer in layers] == [("0", 4)]


def test_people_get_tables_and_no_json(capsys: Capture, tmp_path: Path) -> None:
    assert main(["render", "digits", "conv1", "--channels", "0", *FAST, "--out", str(tmp_path / "o")]) == 0
    out, err = capsys.readouterr()
    assert "filter" in out
    assert "steps/s" in out
    assert "digits conv1" in err  # the bar
    assert main(["runs", "list"]) == 0
    assert "conv1" in capsys.readouterr().out
    assert main(["models"]) == 0
    assert "imagenette-robust" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert main([]) == 0


# Parameters ---------------------------------------------------------------------------------------------------------


def value_beside_the_default(name: str) -> Any:
    meta = PARAMS[name]
    if meta.kind == "bool":
        return not meta.default
    if meta.kind == "choice":
        return next(choice for choice in meta.choices if choice != meta.default)
    return meta.coerce(meta.minimum if meta.default != meta.minimum else meta.maximum)


@pytest.mark.parametrize("name", [name for name, meta in PARAMS.items() if meta.group != "dream"])
def test_every_parameter_has_a_flag_and_can_be_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways reach the order; ``render`` itself is not run."""
    from vizcore.cli import render

    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(render, "render", lambda order, setting: seen.append(order.values) or console.Result({}, ""))
    value = value_beside_the_default(name)
    flag = flags.name(PARAMS[name])
    given = [flag if value else f"--no-{flag[2:]}"] if PARAMS[name].kind == "bool" else [flag, str(value)]
    base = ["render", "digits", "conv1", "--out", "o"]
    assert main([*base, *given]) == 0
    assert main([*base, "--set", f"{name}={str(value).lower()}"]) == 0
    for values in seen:
        assert list(values) == [name]
        assert PARAMS[name].coerce(values[name]) == value
    spec = RunSpec("m", "l", (0,), **seen[1])
    assert getattr(spec, name) == value


def test_a_flag_wins_over_set() -> None:
    assert flags.chosen(["size=32", "blur-every=3"], {"size": "64", "rate": None}) == {"size": "64", "blur_every": "3"}


@pytest.mark.parametrize("pair", ["size", "=3", "size=", ""])
def test_what_is_no_pair_is_refused(pair: str) -> None:
    with pytest.raises(SpecError, match="knob=value"):
        flags.chosen([pair], {})


# Bad input ----------------------------------------------------------------------------------------------------------

RENDER = ("render", "digits", "conv1", "--no-keep", "--threads", "1")


@pytest.mark.parametrize(
    ("args", "kind", "words"),
    [
        (("render", "digitz", "conv1"), "ModelError", "digits"),
        (("render", "digits", "conv9"), "LayerError", "conv"),
        ((*RENDER, "--channels", "0,16"), "LayerError", "16"),
        ((*RENDER, "--channels", ""), "SpecError", "empty"),
        ((*RENDER, "--channels", " , "), "SpecError", "empty"),
        ((*RENDER, "--channels", "0-15, x"), "SpecError", "'x'"),
        ((*RENDER, "--channels", "5-2"), "SpecError", "backwards"),
        ((*RENDER, "--channels", "0-99"), "SpecError", "64"),
        ((*RENDER, "--size", "8"), "SpecError", "16 to 512"),
        ((*RENDER, "--size", "big"), "SpecError", "not a number"),
        ((*RENDER, "--set", "sise=32"), "SpecError", "size"),
        ((*RENDER, "--set", "blur"), "SpecError", "knob=value"),
        ((*RENDER, "--rate", "nan"), "SpecError", "rate"),
        ((*RENDER, "--preset", "Crips"), "SpecError", "Crisp"),
        ((*RENDER, "--objective", "happiness"), "SpecError", "channel"),
        ((*RENDER, "--device", "tpu"), "EngineError", "cpu"),
        (("render", "os:getcwd", "conv1"), "ModelError", "torch.nn.Module"),
        (("render", "no_such_module:net", "conv1"), "ModelError", "no_such_module"),
        (("runs", "show", "20261120-191100-000000"), "HistoryError", "list of runs"),
        (("runs", "show", "../../nowhere"), "HistoryError", "list of runs"),
    ],
)
def test_bad_input_is_one_sentence(
    refused: Callable[..., dict[str, str]], tmp_path: Path, args: tuple[str, ...], kind: str, words: str
) -> None:
    out = tmp_path / "o"
    error = refused(*args, *(("--out", str(out)) if args[0] == "render" else ()), kind=kind)
    assert words in error["message"] + error["hint"]
    assert not out.exists() or not list(out.iterdir())
    assert not list(tmp_path.glob("home/runs/*"))


def test_a_picture_too_small_for_the_layer(refused: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torchvision.models import squeezenet1_1

    save_file(squeezenet1_1().state_dict(), tmp_path / "squeeze.safetensors")
    args = (
        "render",
        str(tmp_path / "squeeze.safetensors"),
        "features.12",
        "--arch",
        "squeezenet1_1",
        "--channels",
        "0",
    )
    error = refused(*args, *FAST, "--out", str(tmp_path / "o"), kind="SpecError")
    assert "16" in error["message"]


def evil_pickle(path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (path.with_name("marker"),)

    path.write_bytes(pickle.dumps(Evil()))


def evil_archive(path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (path.with_name("marker"),)

    torch.save({"conv1.weight": Evil()}, path)


def web_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>404</body></html>")


def truncated(path: Path) -> None:
    torch.save({"a": torch.zeros(4096)}, path)
    path.write_bytes(path.read_bytes()[:8000])


def other_network(path: Path) -> None:
    torch.save({f"layer{i}.weight": torch.zeros(2, 3) for i in range(9)}, path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (evil_pickle, "refused"),
        (evil_archive, "refused"),
        (web_page, "web page"),
        (truncated, "incomplete"),
        (other_network, "features.0.weight"),
        (Path.touch, "empty"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_weights_that_cannot_be_used(
    refused: Callable[..., dict[str, str]], tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    make(tmp_path / "net.pt")
    error = refused("layers", str(tmp_path / "net.pt"), "--arch", "squeezenet1_0", kind="ModelError")
    assert words in error["message"]
    assert str(tmp_path) not in error["message"]
    assert not (tmp_path / "marker").exists()


@pytest.mark.shared
def test_wrong_weights_name_up_to_five_tensors_with_both_shapes(
    refused: Callable[..., dict[str, str]], shared: Path
) -> None:
    file = shared / "weights" / "squeezenet1_0-imagenet.safetensors"
    error = refused("layers", str(file), "--arch", "squeezenet1_1", kind="ModelError")
    assert "[96, 3, 7, 7]" in error["message"]
    assert "[64, 3, 3, 3]" in error["message"]
    assert "squeezenet1_0" in error["hint"]


def test_no_network_for_a_download(refused: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", "/nonexistent")
    refused("layers", "squeezenet1_1", kind="DownloadError")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(
    refused: Callable[..., dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Root may write everywhere, so the system's refusal is put in its mouth."""

    def refuse(*args: object, **kwargs: object) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("vizcore.ascent.ascend", refuse)
    refused(*RENDER, "--out", str(tmp_path / "o"), kind="ExportError")


def test_a_file_where_the_folder_should_be(refused: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "o").touch()
    refused(*RENDER, "--out", str(tmp_path / "o"), kind="ExportError")
    refused(*RENDER, "--out", str(tmp_path / "o" / "deeper"), kind="ExportError")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_a_disk_that_fills_up_leaves_no_half_written_file(
    refused: Callable[..., dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    error = refused(*RENDER, "--channels", "0-3", *FAST, "--out", str(tmp_path / "o"), kind="ExportError")
    assert "full" in error["message"]
    for path in (tmp_path / "o").iterdir():
        assert path.suffix == ".png"
        with Image.open(path) as picture:
            picture.load()


@pytest.mark.parametrize("damage", [b"", b"not a run file" * 100, None])
def test_a_corrupt_run_file(
    run: Run, refused: Callable[..., dict[str, str]], tmp_path: Path, damage: bytes | None
) -> None:
    base = ("render", "digits", "conv1", "--channels", "0", *FAST, "--out", str(tmp_path / "o"))
    good, bad = run(*base)["run"], run(*base)["run"]
    path = runs.Library().path(bad)
    path.write_bytes(path.read_bytes()[:5000] if damage is None else damage)
    refused("runs", "show", bad, kind="HistoryError")
    refused("runs", "show", str(path), kind="HistoryError")
    listing = run("runs", "list")
    assert [entry["id"] for entry in listing["runs"]] == [good]
    assert [entry["id"] for entry in listing["damaged"]] == [bad]


@pytest.mark.parametrize(
    "args",
    [("modles",), ("models", "--frob"), ("render", "digits"), ("runs",), ("render", "digits", "conv1", "--steps")],
)
def test_usage_errors_are_json_too(refused: Callable[..., dict[str, str]], args: tuple[str, ...]) -> None:
    error = refused(*args, kind="UsageError")
    assert "--help" in error["hint"]


def test_people_get_the_sentence_and_the_remedy_without_a_traceback(capsys: Capture) -> None:
    assert main(["layers", "digitz"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "digitz" in err
    assert "digits" in err
    assert "Traceback" not in err


def test_markup_in_a_name_is_text(capsys: Capture) -> None:
    assert main(["layers", "[red]digits[nothing]"]) == 2
    assert "[red]digits[nothing]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "full"), (errno.EACCES, "right"), (errno.EROFS, "read-only"), (5, "refused")]
)
def test_the_systems_refusals_become_sentences_without_a_path(number: int, words: str) -> None:
    error = console.from_os(OSError(number, os.strerror(number), "/secret/place"))
    assert isinstance(error, StorageError)
    assert words in error.message
    assert "secret" not in str(error)


def test_numbers_that_json_does_not_have_become_null() -> None:
    data = {"a": float("nan"), "b": (np.float32(1.5), np.int64(2)), "c": [np.array([np.inf, 1.0])]}
    assert console.plain(data) == {"a": None, "b": [1.5, 2], "c": [[None, 1.0]]}


def test_a_bug_keeps_its_traceback_but_json_stays_one_object(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def bug() -> Any:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("vizcore.zoo.load.models", bug)
    with pytest.raises(ZeroDivisionError):
        main(["models", "--json"])
    assert "ZeroDivisionError" in json.loads(capsys.readouterr().out)["error"]["message"]


# Processes ----------------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_was_finished(tmp_path: Path, home: Path) -> None:
    out = tmp_path / "o"
    command = [sys.executable, "-m", "vizcore", "render", "digits", "conv1", "--channels", "0", *FAST]
    command += ["--steps", "8192", "--out", str(out), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: steps_done(home) > 3)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    result = json.loads(stdout)
    assert result["state"] == "interrupted"
    assert 3 < result["steps"] < 8192
    [info] = runs.Library(home).list()
    assert (info.state, info.steps) == ("interrupted", result["steps"])
    assert export.read_recipe(result["filters"][0]["file"]).step == result["steps"]


def steps_done(home: Path) -> int:
    """Steps in the only run of the library; 0 while there is none."""
    return max((info.steps for info in runs.Library(home).list()), default=0)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


def test_a_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with contextlib.closing(os.fdopen(writer, "w", closefd=False)):
        result = subprocess.run(
            [sys.executable, "-m", "vizcore", "models"], stdout=writer, stderr=subprocess.PIPE, text=True
        )
    os.close(writer)
    assert result.returncode == 0
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr


def test_help_and_runs_need_no_torch() -> None:
    """They answer at once: importing torch takes seconds."""
    for args in (["--help"], ["render", "--help"], ["runs", "list"]):
        code = f"import sys; from vizcore.cli import main; main({args}); sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0, args


def test_serve_gets_its_arguments_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    class Entry:
        def load(self) -> Callable[[list[str]], int]:
            return lambda args: seen.append(args) or 3  # type: ignore[func-returns-value]

    monkeypatch.setattr("vizcore.cli.entry_points", lambda **which: [Entry()] if which["name"] == "serve" else [])
    assert main(["serve", "--port", "0", "--", "--help", "-x"]) == 3
    assert seen == [["--port", "0", "--", "--help", "-x"]]


def test_serve_without_the_dashboard(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("vizcore.cli.entry_points", lambda **which: [])
    assert main(["serve"]) == 2
    assert "dashboard" in capsys.readouterr().err
