"""HTTP figures: a request under load, run by run beside the bare handler, and the statements that it takes."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import flame
from benchmarks.registry import Measured
from benchmarks.stage import RUN_S, RUNS, Sample, Stage, median, request, spread

HELLO = "hello (bare Tornado + uvloop)"
_HELLO_REQUEST = [request("GET", "/")]


@dataclass(frozen=True)
class Call:
    """What is measured: a web process with ``settings``, the requests of a run, and what must hold of them.

    ``requests(run)`` are those of one run; ``once`` means that each may be sent only once. ``statements`` bounds the
    SQL statements of one request, counted without the cache.
    """

    name: str
    target: float
    settings: dict[str, str]
    requests: Callable[[int], Sequence[str]]
    expect: int = 200
    once: bool = False
    least_bytes: int = 0
    statements: int | None = None
    counts: bool = True


def against_hello(stage: Stage, call: Call) -> Measured:
    """Measure call and hello in pairs, each first in turn; the ratio is the median of the pairs' ratios."""
    web, hello = stage.web(**call.settings), stage.hello()
    ours: list[Sample] = []
    bare: list[Sample] = []
    for run in range(RUNS):
        for is_ours in (run % 2 == 0, run % 2 == 1):
            if is_ours:
                ours.append(stage.load(web, call.requests(run), expect=call.expect, once=call.once))
            else:
                bare.append(stage.load(hello, _HELLO_REQUEST))
    ratios = [one.rate / other.rate for one, other in zip(ours, bare, strict=True)]
    counted = _statements(stage, call.requests(RUNS)[0], call.expect) if call.counts else []
    if stage.profile_to is not None:
        _profile(stage, call, stage.profile_to)
    ratio, size = median(ratios), ours[-1].bytes
    holds = ratio >= call.target and size >= call.least_bytes
    target = f"≥ {call.target} × hello"
    if call.least_bytes:
        target += f", ≥ {call.least_bytes / 1024:.0f} KiB"
    if call.statements is not None:
        target += f", ≤ {call.statements} statements"
        holds = holds and len(counted) <= call.statements
    return Measured(
        call.name,
        median([one.rate for one in ours]),
        "requests/s",
        ratio,
        HELLO,
        target,
        holds,
        _details(ours, bare, counted, ratios),
    )


def _profile(stage: Stage, call: Call, directory: Path) -> None:
    """One more run, sampled."""
    directory.mkdir(parents=True, exist_ok=True)
    folded = directory / f"{call.name}.folded"
    web = stage.web(**call.settings)
    with flame.record(web, RUN_S - 1, folded) as spy:
        stage.load(web, call.requests(RUNS + 1), expect=call.expect, once=call.once, seconds=RUN_S + 1)
        spy.wait()
    print(f"\n{call.name}: {folded}\n{flame.summary(folded)}\n")


def _details(ours: list[Sample], bare: list[Sample], counted: list[str], ratios: list[float]) -> tuple[str, ...]:
    last = ours[-1]
    lines = [f"hello {median([one.rate for one in bare]):,.0f}/s", f"ratio {spread(ratios)}"]
    lines.append(
        f"p50 {median([one.p50_ms for one in ours]):.1f} ms, p99 {median([one.p99_ms for one in ours]):.1f} ms"
    )
    lines.append(f"{last.bytes / 1024:.1f} KiB")
    if any(one.closed for one in ours):
        lines.append(f"the server closed {last.closed} connections in the last run")
    lines.append(f"processor time a request: {_costs(ours)}; hello {_costs(bare)}")
    if counted:
        lines.append(f"{len(counted)} statements")
    return tuple(lines)


def _costs(samples: list[Sample]) -> str:
    server, database, load = (
        median([getattr(one, name) for one in samples]) for name in ("server_us", "database_us", "load_us")
    )
    beside = f", database {database:.0f}" if database >= 1 else ""
    return f"server {server:.0f} µs{beside}, generator {load:.0f}"


def _statements(stage: Stage, raw: str, expect: int) -> list[str]:
    """The statements of one request, the second of its kind, because the first of a connection asks more."""
    web, file = stage.counted()
    for _ in range(12):  # every connection of the pool is new once
        _send(web.port, stage.bulk.published[0].hex)
    file.write_text("", encoding="utf-8")
    status = _raw(web.port, raw)
    if status != expect:
        raise RuntimeError(f"the counted request was answered {status}, not {expect}")
    return file.read_text(encoding="utf-8").splitlines()


def _send(port: int, course: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", f"/api/v1/courses/{course}/")
    connection.getresponse().read()
    connection.close()


def _raw(port: int, raw: str) -> int:
    head, _, body = raw.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body or None, dict(line.split(": ", 1) for line in lines))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status
