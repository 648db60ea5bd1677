"""Sockets: a live class that is told something, what a connection costs in time and in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from benchmarks import flame
from benchmarks.fleet import Fleet, ask_probe
from benchmarks.processes import Child
from benchmarks.registry import Measured, figure
from benchmarks.room import READY, SAID_BYTES, open_room
from benchmarks.stage import RUNS, Stage, median, spread
from tests.harness.machine import SHARED

_CLASS, _IDLE, _CROWD = 1_000, 2_000, 5_000
_BURST, _PACED, _PACE = 200, 100, 20
_SAID, _WINDOW = 100, 16
_BROADCASTS, _BROADCAST_PACE = 10, 2
_WARM = 100
_SETTLE_S = 1.0
T = TypeVar("T")
BARE = "a bare WebSocketHandler"


@figure("class-fan-out")
def class_fan_out(stage: Stage) -> Measured:
    """The same number of frames to the same number of sockets, of people who have joined a class.

    The ratio is of events that come by Redis as fast as it brings them. Latencies are at an even pace, as a teacher
    may speak at the most; by Redis, and from the teacher's own frame through the database.
    """
    room = open_room(stage, _CLASS)
    (web, _), (bare, _) = stage.probed_web(EDU_FRAMES_PER_S="100000"), stage.bare_sockets()
    redis_url = SHARED["redis"].url
    with Fleet(web) as ours, Fleet(bare) as beside:
        ours.open(room.paths(_CLASS), READY)
        ours.say('{"type":"join_class"}', '"attendance_update"')
        beside.open(["/"] * _CLASS, "")
        beside.drive_from("/", "")
        ours.drive_from(room.desk_path, '"dashboard_update"')
        said = _rate(ours.run(room.frames(_SAID), window=_WINDOW))
        heard = ours.run(room.frames(_PACED), rate=_PACE)
        room.catch_up(stage)
        our_rates, bare_rates = _in_pairs(
            lambda: _rate(ours.run(room.events(_BURST), redis_url=redis_url)),
            lambda: _rate(beside.run([f"{_BURST} {SAID_BYTES}"], each=_BURST)),
        )
        paced = [ours.run(room.events(_PACED), rate=_PACE, redis_url=redis_url) for _ in range(RUNS)]
        bare_paced = beside.run([f"1 {SAID_BYTES}"] * _PACED, rate=_PACE)
        if stage.profile_to is not None:
            _profile(stage, web, "class-fan-out", lambda: ours.run(room.events(4 * _BURST), redis_url=redis_url))
    web.stop()
    bare.stop()
    ratios = [one / other for one, other in zip(our_rates, bare_rates, strict=True)]
    p50, p99 = (median([one[share] for one in paced]) for share in ("p50_ms", "p99_ms"))
    return Measured(
        name="class-fan-out",
        value=median(our_rates),
        unit="deliveries/s",
        ratio=median(ratios),
        of="bare send (one frame, IOStream.write, no hub)",
        target="≥ 0.6 × bare send, p99 ≤ 60 ms",
        holds=median(ratios) >= 0.6 and p99 <= 60,
        details=(
            f"bare {median(bare_rates):,.0f}/s, ratio {spread(ratios)}",
            f"{SAID_BYTES} B of data, {paced[0]['bytes']:.0f} B on the wire; bare sends {SAID_BYTES} B",
            (
                f"{_PACE} events a second to {_CLASS:,} sockets: p50 {p50:.0f} ms, p99 {p99:.0f} ms; "
                f"bare p99 {bare_paced['p99_ms']:.0f} ms"
            ),
            (
                f"a teacher's announcements: {said:,.0f} deliveries/s; at {_PACE} a second "
                f"p50 {heard['p50_ms']:.0f} ms, p99 {heard['p99_ms']:.0f} ms"
            ),
        ),
    )


@figure("socket-memory")
def socket_memory(stage: Stage) -> Measured:
    """What 2,000 sockets add to the resident memory of a new process, after a collection; both kinds in turn."""
    room = open_room(stage, _CLASS)

    def grown(server: tuple[Child, int], paths: list[str], ready: str) -> float:
        child, probe = server
        with Fleet(child) as some:
            some.open(paths[:_WARM], ready)
        time.sleep(_SETTLE_S)
        before = ask_probe(probe, "memory")
        with Fleet(child) as fleet:
            fleet.open(paths, ready)
            time.sleep(_SETTLE_S / 2)
            after = ask_probe(probe, "memory")
        child.stop()
        return float(after - before) / len(paths) / 1024

    ours, bare = _in_pairs(
        lambda: grown(stage.probed_web(), room.paths(_IDLE), READY),
        lambda: grown(stage.bare_sockets(), ["/"] * _IDLE, ""),
    )
    ratios = [one / other for one, other in zip(ours, bare, strict=True)]
    return Measured(
        name="socket-memory",
        value=median(ours),
        unit="KiB/socket",
        ratio=median(ratios),
        of=BARE,
        target="≤ 1.3 × bare",
        holds=median(ratios) <= 1.3,
        details=(
            f"{median(ours):.1f} KiB, bare {median(bare):.1f} KiB, ratio {spread(ratios)}",
            f"{_IDLE:,} sockets, new processes each time",
        ),
    )


@figure("broadcast-block")
def broadcast_block(stage: Stage) -> Measured:
    """How late a timer of the loop comes while 5,000 sockets are told something; the longest of ten broadcasts."""
    room = open_room(stage, _CLASS)
    redis_url = SHARED["redis"].url

    def longest(fleet: Fleet, probe: int, broadcast: Callable[[], Any]) -> tuple[float, float]:
        """(late, processor time), each the longest, in ms."""
        fleet.rest(_SETTLE_S / 2)
        ask_probe(probe, "watch")
        broadcast()
        lags = ask_probe(probe, "lags")
        return lags[0][0], max(used for _, used in lags)

    (web, web_probe), (bare, bare_probe) = stage.probed_web(), stage.bare_sockets()
    with Fleet(web) as ours, Fleet(bare) as beside:
        ours.open(room.paths(_CROWD), READY)
        idle = longest(ours, web_probe, lambda: ours.rest(_BROADCASTS / _BROADCAST_PACE))
        beside.open(["/"] * _CROWD, "")
        beside.drive_from("/", "")

        def told() -> tuple[float, float]:
            events = room.events(_BROADCASTS)
            return longest(
                ours, web_probe, lambda: ours.run(events, rate=_BROADCAST_PACE, redis_url=redis_url, quiet_s=0)
            )

        def sent() -> tuple[float, float]:
            messages = [f"1 {SAID_BYTES}"] * _BROADCASTS
            return longest(beside, bare_probe, lambda: beside.run(messages, rate=_BROADCAST_PACE, quiet_s=0))

        lags, bare_lags = _in_pairs(told, sent)
    web.stop()
    bare.stop()
    late = median([one for one, _ in lags])
    return Measured(
        name="broadcast-block",
        value=late,
        unit="ms",
        ratio=median([one / other for (one, _), (other, _) in zip(lags, bare_lags, strict=True)]),
        of="bare send to as many in one go",
        target="≤ 20 ms",
        holds=late <= 20,
        details=(
            (
                f"{_CROWD:,} sockets; lateness of a timer of 1 ms in the process, the longest during {_BROADCASTS} "
                f"broadcasts; runs: {', '.join(f'{one:.1f}' for one, _ in lags)} ms"
            ),
            f"processor time of the loop between two timers, the longest: {median([one for _, one in lags]):.1f} ms",
            (
                f"bare {median([one for one, _ in bare_lags]):.0f} ms; without a broadcast {idle[0]:.1f} ms, "
                f"processor time {idle[1]:.1f} ms"
            ),
        ),
    )


@figure("socket-connects")
def socket_connects(stage: Stage) -> Measured:
    """A class comes in, 32 at a time, each with a token that the process has not seen; all stay until the last is
    there."""
    room = open_room(stage, _CLASS)
    (web, _), (bare, _) = stage.probed_web(), stage.bare_sockets()
    costs: list[tuple[float, float]] = []
    waits: list[float] = []

    def connect() -> float:
        room.people = stage.log_in(_CLASS)
        before = web.cpu_s()
        rate, told = _connected(web, room.paths(_CLASS), READY)
        costs.append(((web.cpu_s() - before) * 1e6 / _CLASS, told["cpu_s"] * 1e6 / _CLASS))
        waits.append(told["p99_ms"])
        return rate

    ours, upgrades = _in_pairs(connect, lambda: _connected(bare, ["/"] * _CLASS, "")[0])
    known, _ = _connected(web, room.paths(_CLASS), READY)
    if stage.profile_to is not None:
        room.people = [one for _ in range(4) for one in stage.log_in(_CLASS)]
        _profile(stage, web, "socket-connects", lambda: _connected(web, room.paths(len(room.people)), READY))
    web.stop()
    bare.stop()
    ratios = [one / other for one, other in zip(ours, upgrades, strict=True)]
    return Measured(
        name="socket-connects",
        value=median(ours),
        unit="connects/s",
        ratio=median(ratios),
        of=f"upgrades of {BARE}",
        target="≥ 0.5 × bare upgrades",
        holds=median(ratios) >= 0.5,
        details=(
            f"bare {median(upgrades):,.0f}/s, ratio {spread(ratios)}",
            (
                f"processor time: server {median([one for one, _ in costs]):.0f} µs, "
                f"generator {median([one for _, one in costs]):.0f} µs; p99 {median(waits):.0f} ms"
            ),
            f"{known:,.0f}/s where the process has seen the token before",
        ),
    )


def _connected(child: Child, paths: list[str], ready: str) -> tuple[float, dict[str, Any]]:
    """Sockets a second, and what else was told; they are closed then, and the closing is over on return."""
    with Fleet(child) as fleet:
        told = fleet.open(paths, ready)
    time.sleep(_SETTLE_S)
    return told["opened"] / told["seconds"], told


def _in_pairs(ours: Callable[[], T], bare: Callable[[], T]) -> tuple[list[T], list[T]]:
    """Measure both in turn, each first every second time."""
    found: tuple[list[T], list[T]] = ([], [])
    for run in range(RUNS):
        for which in (run % 2, 1 - run % 2):
            found[which].append((ours, bare)[which]())
    return found


def _rate(told: dict[str, Any]) -> float:
    return float(told["count"] / told["seconds"])


def _profile(stage: Stage, web: Child, name: str, work: Callable[[], object]) -> None:
    """One more run, sampled."""
    if stage.profile_to is None:
        return
    stage.profile_to.mkdir(parents=True, exist_ok=True)
    folded = stage.profile_to / f"{name}.folded"
    with flame.record(web, 4, folded) as spy:
        time.sleep(_SETTLE_S / 2)
        work()
        spy.wait()
    print(f"\n{name}: {folded}\n{flame.summary(folded)}\n")
