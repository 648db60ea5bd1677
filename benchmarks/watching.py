"""A look at a server from a process of its own, while others work it: ``python -m benchmarks.watching PORT PID``.

It asks ``/healthz`` over one connection, again and again, until its input ends, and then says what it saw.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from benchmarks.processes import ROOT

EVERY_S = 0.005


@dataclass
class Watch:
    """Latencies of a small request in ms, and the most bytes that the process had in memory."""

    latencies_ms: list[float] = field(default_factory=list)
    most_resident: int = 0

    def p99_ms(self) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else 0.0


@contextmanager
def watching(port: int, pid: int) -> Iterator[Watch]:
    """Watch while the block runs; afterwards the ``Watch`` holds what was seen."""
    seen = Watch()
    command = [sys.executable, "-m", "benchmarks.watching", str(port), str(pid)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
        if watcher.stdin is None or watcher.stdout is None:
            raise RuntimeError("the watcher has no pipes")
        watcher.stdout.readline()  # it is connected
        try:
            yield seen
        finally:
            watcher.stdin.close()
            told = orjson.loads(watcher.stdout.read())
            seen.latencies_ms, seen.most_resident = told["latencies_ms"], told["most_resident"]


def resident_bytes(pid: int) -> int:
    """Memory of a process now (proc(5), statm, second field)."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _watch(port: int, pid: int) -> None:
    seen = Watch()
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as answers:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while not select.select([sys.stdin], [], [], EVERY_S)[0]:
            began = time.monotonic()
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            length = 0
            while (line := answers.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            answers.read(length)
            seen.latencies_ms.append((time.monotonic() - began) * 1000)
            seen.most_resident = max(seen.most_resident, resident_bytes(pid))
    sys.stdout.buffer.write(orjson.dumps({"latencies_ms": seen.latencies_ms, "most_resident": seen.most_resident}))


if __name__ == "__main__":
    _watch(int(sys.argv[1]), int(sys.argv[2]))
