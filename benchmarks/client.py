"""A viewer that is no browser: opens the page's websocket, acknowledges every update and draws nothing."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect


class Viewer:
    """Speaks as much of Bokeh's protocol as it takes to be shown a run.

    ``updates`` are the times (``time.perf_counter``) at which a live update had come whole.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.updates: list[float] = []
        self.status: dict[str, Any] = {}
        self.page: dict[str, Any] = {}
        self._ids: dict[str, str] = {}
        self._socket: WebSocketClientConnection | None = None
        self._serial = 0
        self._intent = 0

    async def open(self) -> None:
        """Fetch the page, open the socket, pull the document, say hello."""
        html = urllib.request.urlopen(self.address).read().decode()
        match = re.search(r'"token":\s*"([^"]+)"', html)
        assert match, "the page has no token"
        address, _, query = self.address.partition("?")
        url = address.replace("http", "ws", 1) + "/ws" + (f"?{query}" if query else "")
        origin = "/".join(address.split("/")[:3])
        request = HTTPRequest(url, headers={"Origin": origin})
        self._socket = await websocket_connect(request, subprotocols=["bokeh", match[1]], max_message_size=2**30)
        await self._message()  # the server's acknowledgement
        self._write("PULL-DOC-REQ", {})
        while True:
            kind, content, _ = await self._message()
            if kind == "PULL-DOC-REPLY":
                break
        self._index(content["doc"]["roots"])
        ready = {"type": "event", "name": "document_ready", "values": {"type": "map"}}
        self._write("PATCH-DOC", {"events": [{"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": ready}]})
        self.ask(do="hello", viewing=True, reduced=False, theme="dark")

    def _index(self, value: Any) -> None:
        if isinstance(value, dict):
            name = value.get("attributes", {}).get("name") if isinstance(value.get("attributes"), dict) else None
            if name and "id" in value:
                self._ids.setdefault(name, value["id"])
                if name == "ascent":
                    self.page.update(value["attributes"])
            for part in value.values():
                self._index(part)
        elif isinstance(value, list):
            for part in value:
                self._index(part)

    def ask(self, **intent: Any) -> None:
        """Send a command as the page's script does."""
        self._intent += 1
        self._set("ask", "intent", json.dumps({"n": self._intent, **intent}))

    def _set(self, name: str, attribute: str, value: Any) -> None:
        event = {"kind": "ModelChanged", "model": {"id": self._ids[name]}, "attr": attribute, "new": value}
        self._write("PATCH-DOC", {"events": [event]})

    def _write(self, kind: str, content: dict[str, Any]) -> None:
        assert self._socket is not None
        self._serial += 1
        for part in ({"msgid": f"b{self._serial}", "msgtype": kind}, {}, content):
            self._socket.write_message(json.dumps(part))

    async def _message(self) -> tuple[str, dict[str, Any], int]:
        assert self._socket is not None
        parts = [await self._socket.read_message() for _ in range(3)]
        if None in parts:
            raise ConnectionError("the server closed the connection")
        header, content = json.loads(parts[0]), json.loads(parts[2])
        size = 0
        for _ in range(header.get("num_buffers", 0)):
            await self._socket.read_message()
            size += len(await self._socket.read_message() or b"")
        return header["msgtype"], content, size

    async def watch(self, seconds: float) -> None:
        """Take what comes for some seconds, acknowledging each live update at once."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await self.once()

    async def once(self) -> None:
        """Take one message."""
        kind, content, _ = await self._message()
        if kind != "PATCH-DOC":
            return
        for event in content["events"]:
            if event.get("kind") == "ColumnDataChanged" and event["model"]["id"] == self._ids["live"]:
                self.updates.append(time.perf_counter())
                self._set("flow", "ack", dict(event["data"]["entries"])["sent"][0])
            if event.get("kind") != "ModelChanged":
                continue
            target, attribute = event["model"]["id"], event["attr"]
            if target == self._ids.get("ascent"):
                self.page[attribute] = event["new"]
                if attribute == "status" and event["new"]:
                    self.status = json.loads(event["new"])

    def close(self) -> None:
        """Leave."""
        if self._socket is not None:
            self._socket.close()
