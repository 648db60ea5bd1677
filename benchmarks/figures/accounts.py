"""What knowing the caller costs, what a crowd at the door costs everybody else, and how fast a log-out is heard."""

from __future__ import annotations

import http.client
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.processes import Child
from benchmarks.registry import Measured, figure
from benchmarks.stage import RUNS, Person, Sample, Stage, median, request, spread
from benchmarks.watching import watching

_UNCACHED = {"EDU_CACHE_S": "0"}
_KNOWN = 0.85
_CALM_MS = 20.0
_HEARD_S = 1.0
_LOGOUTS = 20


@figure("authenticated-read")
def authenticated_read(stage: Stage) -> Measured:
    """Every published course in turn, asked for by 200 people with tokens, beside the same asked for by nobody."""
    paths = [f"/api/v1/courses/{one}/" for one in stage.bulk.published]
    people = stage.log_in(200)
    known = [request("GET", path, token=people[n % len(people)].token) for n, path in enumerate(paths)]
    unknown = [request("GET", path) for path in paths]
    web = stage.web(**_UNCACHED)
    ours: list[Sample] = []
    bare: list[Sample] = []
    for run in range(RUNS):
        for is_ours in (run % 2 == 0, run % 2 == 1):
            (ours if is_ours else bare).append(stage.load(web, known if is_ours else unknown))
    ratios = [one.rate / other.rate for one, other in zip(ours, bare, strict=True)]
    return Measured(
        name="authenticated-read",
        value=median([one.rate for one in ours]),
        unit="requests/s",
        ratio=median(ratios),
        of="the same read by nobody",
        target=f"≥ {_KNOWN} × anonymous",
        holds=median(ratios) >= _KNOWN,
        details=(
            f"anonymous {median([one.rate for one in bare]):,.0f}/s",
            f"ratio {spread(ratios)}",
            f"processor time a request {_us(ours)}, anonymous {_us(bare)}",
            f"p50 {median([one.p50_ms for one in ours]):.1f} ms, p99 {median([one.p99_ms for one in ours]):.1f} ms",
        ),
    )


def _us(samples: list[Sample]) -> str:
    server, database = median([one.server_us for one in samples]), median([one.database_us for one in samples])
    return f"{server:.0f} µs and {database:.0f} µs of the database"


@figure("log-in-crowd")
def log_in_crowd(stage: Stage) -> Measured:
    """How long ``/healthz`` takes while 32 clients log in without a pause, at the production parameters of Argon2id."""
    password = stage.bulk.password
    calls = [
        request("POST", "/api/v1/accounts/auth/login/", body={"email": one.email, "password": password})
        for one in stage.bulk.students[:400]
    ]
    web = stage.web()
    with watching(web.port, web.pid) as seen:
        load = [stage.load(web, calls) for _ in range(RUNS)]
    p99 = seen.p99_ms()
    return Measured(
        name="log-in-crowd",
        value=p99,
        unit="ms p99 of /healthz",
        ratio=p99 / _CALM_MS,
        of=f"the limit of {_CALM_MS:.0f} ms",
        target=f"≤ {_CALM_MS:.0f} ms",
        holds=p99 <= _CALM_MS,
        details=(
            f"p50 {statistics.median(seen.latencies_ms):.1f} ms of {len(seen.latencies_ms)}",
            f"{median([one.rate for one in load]):.1f} log-ins/s meanwhile",
        ),
    )


@figure("revocation")
def revocation(stage: Stage) -> Measured:
    """From the answer to a log-out on one process until two others refuse the token, which each read it just before."""
    first, *others = (stage.web(EDU_CACHE_S="0", EDU_LOG_LEVEL=level) for level in ("INFO", "WARNING", "ERROR"))
    spent = [_until_heard(first, others, one) for one in stage.log_in(_LOGOUTS)]
    worst = max(spent)
    return Measured(
        name="revocation",
        value=worst * 1000,
        unit="ms, the slowest",
        ratio=worst / _HEARD_S,
        of="the limit of a second",
        target="≤ 1 s in three processes",
        holds=worst <= _HEARD_S,
        details=(f"p50 {statistics.median(spent) * 1000:.0f} ms of {len(spent)} log-outs",),
    )


def _until_heard(first: Child, others: list[Child], person: Person) -> float:
    for web in (first, *others):
        if _status(web, "GET", "/api/v1/users/me/", person.token) != 200:
            raise RuntimeError(f"{web.name} does not know the token")
    if _status(first, "POST", "/api/v1/accounts/auth/logout/", person.token, b"{}") != 200:
        raise RuntimeError("the log-out failed")
    began = time.perf_counter()
    with ThreadPoolExecutor(len(others)) as threads:
        for heard in [threads.submit(_refused, web, person.token) for web in others]:
            heard.result()
    return time.perf_counter() - began


def _refused(web: Child, token: str) -> None:
    until = time.perf_counter() + 10
    while _status(web, "GET", "/api/v1/users/me/", token) != 401:
        if time.perf_counter() > until:
            raise RuntimeError(f"{web.name} never heard of it")


def _status(web: Child, method: str, path: str, token: str, body: bytes | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()
