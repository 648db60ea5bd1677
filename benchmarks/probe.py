"""A look into a running process, from its own loop: memory after a collection, and how long the loop was held up.

``python -m benchmarks.probe PORT`` becomes ``run.py web`` with a probe that answers on PORT, a line for a line.
"""

from __future__ import annotations

import asyncio
import gc
import runpy
import sys
import time
from pathlib import Path

import orjson

from benchmarks.processes import ROOT

EVERY_S = 0.001
_KEPT = 50


class Probe:
    """``memory``: collect garbage and tell the resident size in bytes. ``watch``: begin to note how late a timer of one
    millisecond comes; ``lags``: end it, and tell the longest in ms, longest first: [late, processor time of the loop's
    thread since the timer before]. What is late without processor time waited for the core, not for the loop."""

    def __init__(self) -> None:
        self._lags: list[tuple[float, float]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._used = 0.0

    async def serve(self, port: int) -> None:
        """Answer on a port of this machine."""
        await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).strip().decode():
            writer.write(orjson.dumps(self._answer(line)) + b"\n")
        writer.close()

    def _answer(self, line: str) -> object:
        if line == "memory":
            gc.collect()
            return resident_bytes()
        if line == "watch":
            self._lags = []
            self._wait()
            return True
        if line == "lags":
            if self._timer is not None:
                self._timer.cancel()
            return sorted(self._lags, reverse=True)[:_KEPT]
        raise ValueError(line)

    def _wait(self) -> None:
        self._due, self._used = time.perf_counter() + EVERY_S, time.thread_time()
        self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._woken)

    def _woken(self) -> None:
        self._lags.append(((time.perf_counter() - self._due) * 1000, (time.thread_time() - self._used) * 1000))
        self._wait()


def resident_bytes() -> int:
    """Resident memory of this process (proc(5), /proc/self/smaps_rollup)."""
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell the resident size")


def main(port: int) -> None:
    """Become the web process; the probe comes with its hub, on the same loop."""
    from handlers.ws.hub import Hub

    begin = Hub.start

    async def start(hub: Hub, timer: bool = True) -> None:
        await begin(hub, timer)
        await Probe().serve(port)

    setattr(Hub, "start", start)  # noqa: B010 - the one place where every web process begins to serve sockets
    sys.argv = ["run.py", "web"]
    runpy.run_path(str(ROOT / "run.py"), run_name="__main__")


if __name__ == "__main__":
    main(int(sys.argv[1]))
