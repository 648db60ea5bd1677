"""The figures' side of ``socket_load.py`` and ``probe.py``: commands and their answers."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

import orjson

from benchmarks.frames import upgrade
from benchmarks.processes import ROOT, Child
from benchmarks.stage import CORE

AT_A_TIME = 32


class Fleet:
    """A load generator with sockets to one server. Use as a context: it ends with it."""

    def __init__(self, server: Child) -> None:
        self._server = server
        command = [sys.executable, "-m", "benchmarks.socket_load", CORE]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.__exit__(kind, value, at)

    def ask(self, do: str, **command: object) -> dict[str, Any]:
        """Have a command carried out and return what it tells. Raises RuntimeError where it, or a socket, failed."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the load generator has no pipes")
        self._process.stdin.write(orjson.dumps({"do": do, **command}) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        self._server.check()
        told: dict[str, Any] = orjson.loads(line) if line else {"failed": "the load generator ended"}
        if "failed" in told or told.get("lost"):
            raise RuntimeError(f"{do} on {self._server.name}: {told}; {self._server.tail()}")
        return told

    def open(self, paths: list[str], ready: str, at_a_time: int = AT_A_TIME) -> dict[str, Any]:
        """Open a socket on each path."""
        port = self._server.port
        requests = [upgrade(port, path) for path in paths]
        return self.ask("open", port=port, requests=requests, ready=ready, at_a_time=at_a_time)

    def drive_from(self, path: str, ready: str) -> None:
        """Open the socket that speaks."""
        port = self._server.port
        self.ask("driver", port=port, request=upgrade(port, path), ready=ready)

    def say(self, text: str, until: str) -> dict[str, Any]:
        """Have every socket send a text and be answered by a frame that contains ``until``."""
        return self.ask("say", text=text, until=until, at_a_time=AT_A_TIME)

    def rest(self, seconds: float) -> None:
        """Only answer pings for so long."""
        self.ask("rest", seconds=seconds)

    def run(
        self,
        messages: list[Any],
        *,
        each: int = 1,
        rate: float = 0,
        window: int = 0,
        redis_url: str | None = None,
        quiet_s: float = 0.3,
    ) -> dict[str, Any]:
        """Send messages and count what they bring, see ``socket_load.Fleet.run``."""
        return self.ask(
            "run", messages=messages, each=each, rate=rate, window=window, redis_url=redis_url, quiet_s=quiet_s
        )


def ask_probe(port: int, *lines: str) -> Any:
    """Send lines to the probe at a port of this machine; returns the answer to the last."""
    told = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as probe, probe.makefile("rwb") as stream:
        for line in lines:
            stream.write(line.encode() + b"\n")
            stream.flush()
            told = stream.readline()
    return orjson.loads(told)
