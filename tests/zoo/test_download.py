"""Fetching from a server of our own: what arrives, what is kept, and what each failure says."""

from __future__ import annotations

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vizcore.errors import DownloadError, StorageError, VizcoreError
from vizcore.zoo import download

BODY = bytes(range(256)) * 3000
DIGEST = hashlib.sha256(BODY).hexdigest()
GOOD = f"tiny-{DIGEST[:8]}.pth"


class Handler(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        if "unsized" not in self.path:
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: len(BODY) // 2] if "cut" in self.path else BODY)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    Handler.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


def kept() -> list[str]:
    return sorted(path.name for path in download.folder().glob("*"))


def fails(url: str, kind: type[VizcoreError] = DownloadError) -> VizcoreError:
    with pytest.raises(kind) as caught:
        download.fetch(url)
    assert kept() == []
    assert str(download.folder()) not in str(caught.value)
    return caught.value


def test_it_arrives_once_and_reports(server: str, home: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    url = f"{server}/models/{GOOD}"
    assert download.cached(url) is None
    path = download.fetch(url, lambda done, total: seen.append((done, total)))
    assert path == home / "weights" / GOOD
    assert path.read_bytes() == BODY
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 3
    assert download.fetch(url) == download.cached(url) == path
    assert Handler.asked == [f"/models/{GOOD}"]
    assert kept() == [GOOD]


def test_a_server_that_does_not_say_the_size(server: str) -> None:
    seen: list[int | None] = []
    assert download.fetch(f"{server}/unsized/{GOOD}", lambda _, total: seen.append(total)).read_bytes() == BODY
    assert set(seen) == {None}


def test_a_damaged_cache_is_fetched_again(server: str) -> None:
    path = download.fetch(f"{server}/{GOOD}")
    path.write_bytes(BODY[:-1])
    assert download.fetch(f"{server}/{GOOD}").read_bytes() == BODY
    assert len(Handler.asked) == 2


def test_a_file_put_there_by_hand_or_by_torch_is_used(server: str, tmp_path: Path) -> None:
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    (hub / GOOD).write_bytes(BODY)
    assert download.fetch(f"{server}/{GOOD}") == hub / GOOD
    (hub / GOOD).write_bytes(b"damaged")
    assert download.fetch(f"{server}/{GOOD}") != hub / GOOD
    assert (hub / GOOD).read_bytes() == b"damaged"  # it is not ours to mend


def test_another_file_is_refused(server: str) -> None:
    error = fails(f"{server}/tiny-00000000.pth")
    assert "checksum" in error.message
    assert "tiny-00000000.pth" in error.message


def test_a_file_that_breaks_off(server: str) -> None:
    error = fails(f"{server}/cut/{GOOD}")
    assert f"broke off after {len(BODY) // 2} of {len(BODY)} bytes" in error.message


def test_a_file_that_breaks_off_without_a_size_fails_by_its_checksum(server: str) -> None:
    assert "checksum" in fails(f"{server}/cut/unsized/{GOOD}").message


def test_a_missing_file(server: str) -> None:
    error = fails(f"{server}/missing/{GOOD}")
    assert "404" in error.message
    assert "$VIZCORE_HOME/weights" in error.hint
    assert f"{server}/missing/{GOOD}" in error.hint


def test_no_network(server: str) -> None:
    with socket.socket() as held:  # a port at which nobody listens
        held.bind(("127.0.0.1", 0))
        error = fails(f"http://127.0.0.1:{held.getsockname()[1]}/{GOOD}")
    assert "cannot be reached" in error.message
    assert "HTTPS_PROXY" in error.hint
    assert "put it into $VIZCORE_HOME/weights" in error.hint


def test_a_proxy_is_used(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", server)
    assert download.fetch(f"http://nowhere.invalid/{GOOD}").read_bytes() == BODY
    assert Handler.asked == [f"http://nowhere.invalid/{GOOD}"]


def test_only_the_web_is_fetched(tmp_path: Path) -> None:
    path = tmp_path / GOOD
    path.write_bytes(BODY)
    fails(path.as_uri())


def test_stopping_in_the_middle_leaves_nothing(server: str) -> None:
    def stop(done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.fetch(f"{server}/{GOOD}", stop)
    assert kept() == []


def test_a_folder_that_cannot_be_written(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VIZCORE_HOME", str(tmp_path / "file"))
    assert "VIZCORE_HOME" in fails(f"{server}/{GOOD}", StorageError).hint


def test_a_full_disk(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", full)
    assert "No space left" in fails(f"{server}/{GOOD}", StorageError).message


def test_without_a_home_of_its_own_the_cache_of_the_platform_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIZCORE_HOME")
    assert download.folder().parts[-2:] == ("vizcore", "weights")
