"""Uploads of 200 MiB: their pace beside a bare handler's, and what ten at once take of memory and of others' time."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from benchmarks.file_load import Body, form, raw, send_all
from benchmarks.processes import Child
from benchmarks.registry import Measured, figure
from benchmarks.stage import CORE, Stage, spread
from benchmarks.watching import resident_bytes, watching

MEBIBYTES = 200
AT_ONCE = 10
RUNS = 5
ROOM = {
    "EDU_STORAGE_GB": "basic=1000,pro=1000,enterprise=1000",
    "EDU_PERSON_STORAGE_GB": "basic=1000,pro=1000,enterprise=1000",
}


@figure("upload")
def upload(here: Stage) -> Measured:
    """One form of 200 MiB at a time, from the first byte sent to the answer. Both sides wait for the disk."""
    web, bare, token = here.web(**ROOM), _bare(here), here.log_in(1)[0].token
    ours = form(web.port, token, MEBIBYTES)
    against = raw(bare.port, "/?sync", MEBIBYTES)
    lazy = raw(bare.port, "/", MEBIBYTES)
    rates: dict[str, list[float]] = {"ours": [], "bare": [], "lazy": []}
    for run in range(RUNS + 1):
        for name, body in (("ours", ours), ("bare", against), ("lazy", lazy)):
            rate = MEBIBYTES / _sent([body])
            if run:  # the first warms up
                rates[name].append(rate)
            _settle(here)
    found = {name: statistics.median(values) for name, values in rates.items()}
    ratio = found["ours"] / found["bare"]
    return Measured(
        name="upload",
        value=found["ours"],
        unit="MiB/s",
        ratio=ratio,
        of="a bare handler that writes to disk and waits for it",
        target="≥ 0.6",
        holds=ratio >= 0.6,
        details=(
            f"bare {found['bare']:,.0f} MiB/s {spread(rates['bare'])}, ours {spread(rates['ours'])}",
            f"{found['ours'] / found['lazy']:.3f} × a bare handler that does not wait: {found['lazy']:,.0f} MiB/s",
        ),
    )


@figure("upload-memory")
def upload_memory(here: Stage) -> Measured:
    """Memory above idle while ten forms of 200 MiB come at once, and how long ``/healthz`` takes meanwhile."""
    web, token = here.web(**ROOM), here.log_in(1)[0].token
    _sent([form(web.port, token, 20)])  # threads, pools and buffers are there
    idle = resident_bytes(web.pid)
    with watching(web.port, web.pid) as seen:
        seconds = _sent([form(web.port, token, MEBIBYTES) for _ in range(AT_ONCE)])
    above = (seen.most_resident - idle) / 1024**2
    p99 = seen.p99_ms()
    return Measured(
        name="upload-memory",
        value=above,
        unit="MiB above idle",
        ratio=above / 60,
        of="the limit of 60 MiB",
        target="≤ 60 MiB, /healthz p99 ≤ 20 ms",
        holds=above <= 60 and p99 <= 20,
        details=(
            f"/healthz p50 {statistics.median(seen.latencies_ms):.1f} ms, p99 {p99:.1f} ms of {len(seen.latencies_ms)}",
            f"{AT_ONCE * MEBIBYTES / seconds:,.0f} MiB/s together",
        ),
    )


def _bare(here: Stage) -> Child:
    port = str(here.port())
    directory = here.directory / "bare"
    directory.mkdir(exist_ok=True)
    child = here.spawn("bare uploads", ["-m", "benchmarks.bare_uploads", port, str(directory), CORE], {"PORT": port})
    child.wait_for_port()
    return child


def _sent(bodies: list[Body]) -> float:
    seconds, statuses = send_all(bodies)
    if not set(statuses) <= {200, 201}:
        raise RuntimeError(f"an upload was answered {sorted(set(statuses))}")
    return seconds


def _settle(here: Stage) -> None:
    """Remove what was stored, and let the disk come to rest: the next one is not to pay for it."""
    for stored in Path(here.directory, "files").glob("f/*/*"):
        stored.unlink()
    time.sleep(0.2)
