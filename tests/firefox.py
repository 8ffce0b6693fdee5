"""Pages in headless Firefox, driven by WebDriver BiDi: Firefox speaks it without geckodriver."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websocket import WebSocket, create_connection

_SECONDS = 180.0


class Firefox:
    """One tab; commands and events are those of https://www.w3.org/TR/webdriver-bidi/."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.logged: list[str] = []
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded"])
        self._tab = self.send("browsingContext.getTree")["contexts"][0]["context"]

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its result; what pages log meanwhile is kept."""
        message = self._reply(method, params)
        assert message["type"] == "success", message
        result: dict[str, Any] = message["result"]
        return result

    def _reply(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv())
            if message.get("method") == "log.entryAdded":
                self.logged.append(f"{message['params']['level']}: {message['params']['text']}")
            elif message.get("id") == number:
                return message

    def open(self, page: Path, fragment: str = "") -> None:
        """Open a page in a tab of its own; wait until it and its explorer, if any, are ready."""
        before, self._tab = self._tab, self.send("browsingContext.create", type="tab")["context"]
        self.send("browsingContext.close", context=before)
        self.logged.clear()
        url = page.as_uri() + fragment
        # Not `wait="complete"`: on a busy machine Firefox may lose the event that it waits for.
        self.send("browsingContext.navigate", context=self._tab, url=url, wait="none")
        end = time.monotonic() + _SECONDS
        while not self._is_loaded(url):
            assert time.monotonic() < end, f"Firefox does not load {url}"
            time.sleep(0.05)
        self.run(
            """
            const explorer = document.getElementById("explorer");
            while (explorer && !("ready" in explorer.dataset)) {
              await new Promise((resolve) => setTimeout(resolve, 20));
            }
            """
        )

    def _is_loaded(self, url: str) -> bool:
        """Whether the tab shows an address, loaded to its end."""
        shown = f"location.href === {json.dumps(url)} && document.readyState === 'complete'"
        params = {"expression": shown, "awaitPromise": False, "target": {"context": self._tab}}
        reply = self._reply("script.evaluate", params)  # fails while one page replaces another
        return reply.get("result", {}).get("result", {}).get("value") is True

    def run(self, script: str) -> Any:
        """The value that the body of an async function gives: a string, number, boolean or null."""
        done = self.send(
            "script.callFunction",
            functionDeclaration=f"async () => {{ {script} }}",
            awaitPromise=True,
            target={"context": self._tab},
            userActivation=True,
        )
        assert done["type"] == "success", done
        return done["result"].get("value")

    def press(self, keys: str) -> None:
        """Press keys one after the other, where the focus is."""
        pressed = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keyboard", "actions": pressed}]
        self.send("input.performActions", context=self._tab, actions=actions)


@contextmanager
def firefox(program: str) -> Iterator[Firefox]:
    """Headless Firefox."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                *(program, "--headless", "--no-remote", "--profile", profile),
                *("--remote-debugging-port", "0"),  # any free port
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        try:
            socket = create_connection(
                f"{_address(process)}/session", timeout=_SECONDS, suppress_origin=True
            )
            try:
                yield Firefox(socket)
            finally:
                socket.close()
        finally:
            process.terminate()
            process.wait(_SECONDS)


def _address(process: subprocess.Popen[str]) -> str:
    """Where Firefox listens, as it says on its standard error, which is read on to the end."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return found[1]
    pytest.fail(f"Firefox did not start: {''.join(said)}")
