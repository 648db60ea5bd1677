"""The register alone, over a database of paper: what is stored, when, and what becomes of it while nobody takes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from edurise.authz import Principal
from edurise.errors import Conflict, DomainError, NotFound, Overloaded
from edurise.live import service
from edurise.ports import ChannelEvent
from handlers.ws import register as registers
from handlers.ws.peer import DOOR, Peer
from handlers.ws.register import BEAT_TICKS, Register, Seat
from tests.ws.conftest import NOON, run

TENANT, CLASS, OTHER = uuid4(), uuid4(), uuid4()


@dataclass
class PaperDatabase:
    """Writes down every hop. ``fails`` is raised by all of them; ``gate``, if there is one, is waited for first."""

    hops: list[tuple[str, Any]] = field(default_factory=list)
    tenants: list[UUID | None] = field(default_factory=list)
    fails: Exception | None = None
    gate: asyncio.Event | None = None
    over: list[UUID] = field(default_factory=list)
    untold: int = 0

    async def run(self, who: Principal, fn: Callable[..., Any], *args: Any) -> bool | None:
        assert who.service
        self.tenants.append(who.wanted)
        return await self._take(fn, args)

    async def system(self, fn: Callable[..., Any], *args: Any) -> list[UUID]:
        await self._take(fn, args)
        return self.over

    async def _take(self, fn: Callable[..., Any], args: Any) -> bool:
        self.hops.append((fn.__name__, args))
        await (self.gate.wait() if self.gate else asyncio.sleep(0))
        if self.fails:
            raise self.fails
        self.untold -= 1
        return self.untold >= 0

    def named(self, name: str) -> list[Any]:
        return [args for hop, args in self.hops if hop == name]


class PaperHub:
    """What the register needs of a hub."""

    def __init__(self) -> None:
        self.db = PaperDatabase()
        self.c = SimpleNamespace(db=self.db)
        self.each_tick: list[Callable[[], None]] = []
        self.heard: dict[str, Callable[[ChannelEvent], None]] = {}
        self.at = NOON
        self.tasks: set[asyncio.Task[None]] = set()

    def now(self) -> datetime:
        return self.at

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            for also in self.each_tick:
                also()

    async def settled(self) -> None:
        while self.tasks:
            await asyncio.gather(*self.tasks)


class Wire:
    closed = False


def peer_of() -> Peer:
    return Peer(Wire(), DOOR, uuid4(), uuid4(), NOON + timedelta(hours=1))  # type: ignore[arg-type]  # only its end is looked at


def joined(class_id: UUID = CLASS, *, crowded: bool = False) -> service.Joined:
    return service.Joined(
        interval_id=uuid4(), class_id=class_id, tenant_id=TENANT, attendance={}, participants=1, crowded=crowded
    )


async def seated(register: Register, class_id: UUID = CLASS, *, crowded: bool = False) -> tuple[Peer, Seat]:
    """A socket that joined."""
    peer = peer_of()

    async def ask(_: UUID) -> service.Joined:
        return joined(class_id, crowded=crowded)

    await register.enter(peer, ask)
    return peer, register._seats[peer]


def scene() -> tuple[PaperHub, Register, PaperDatabase]:
    hub = PaperHub()
    return hub, Register(hub), hub.db  # type: ignore[arg-type]  # as above


# -- seats -------------------------------------------------------------------------------------------------------------


def test_a_repeated_join_of_one_socket_is_asked_for_under_the_same_connection() -> None:
    async def scenario() -> None:
        _, register, _ = scene()
        peer, asked = peer_of(), []

        async def ask(connection_id: UUID) -> service.Joined:
            asked.append(connection_id)
            return joined()

        await register.enter(peer, ask)
        await register.enter(peer, ask)
        assert asked[0] == asked[1] == register.connection_of(peer)
        register.leave(peer)
        assert register.connection_of(peer) is None
        await register.enter(peer, ask)
        assert asked[2] != asked[0], "who left and joins again sits anew"
        assert len(register) == 1

    run(scenario)


def test_a_socket_that_closes_while_it_joins_ends_its_interval() -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        peer, asked = peer_of(), []

        async def ask(connection_id: UUID) -> service.Joined:
            asked.append(connection_id)
            peer.wire.closed = True
            register.end(peer)  # the socket is told of its end while the database still works
            hub.at += timedelta(seconds=1)
            return joined()

        await register.enter(peer, ask)
        await hub.settled()
        assert db.named("closed") == [(CLASS, {asked[0]: hub.at})]
        assert (len(register), register.unstored) == (0, 0)

    run(scenario)


@pytest.mark.parametrize("outcome", ["refused", "nothing to continue"])
def test_what_opens_no_interval_takes_no_seat(outcome: str) -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        peer = peer_of()

        async def ask(_: UUID) -> None:
            if outcome == "refused":
                raise Conflict("CLASS_NOT_OPEN")

        if outcome == "refused":
            with pytest.raises(Conflict):
                await register.enter(peer, ask)
        else:
            assert await register.enter(peer, ask) is None
        register.end(peer)
        assert await register.flush(1)
        assert (len(register), db.hops, hub.tasks) == (0, [], set())

    run(scenario)


def test_what_is_kept_of_a_seat_is_small() -> None:
    seat = Seat(registers.Room(TENANT, CLASS), uuid4(), uuid4())
    assert not hasattr(seat, "__dict__")


# -- ends --------------------------------------------------------------------------------------------------------------


def test_sockets_that_close_together_are_stored_in_one_hop_a_class() -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        one = [await seated(register) for _ in range(50)]
        two = [await seated(register, OTHER) for _ in range(3)]
        for peer, _ in (*one, *two):
            register.end(peer)
        await hub.settled()
        stored = dict(db.named("closed"))
        assert stored == {
            CLASS: {seat.connection_id: NOON for _, seat in one},
            OTHER: {seat.connection_id: NOON for _, seat in two},
        }
        assert len(db.named("closed")) == 2
        assert set(db.tenants) == {TENANT}

    run(scenario)


def test_those_that_close_while_others_are_stored_follow_in_one_hop_and_none_twice() -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        db.gate = asyncio.Event()
        seats = [await seated(register) for _ in range(10)]
        register.end(seats[0][0])
        await asyncio.sleep(0)
        for peer, _ in seats[1:]:
            register.end(peer)
        hub.tick(3)
        assert len(db.named("closed")) == 1
        db.gate.set()
        await hub.settled()
        first, second = (set(ended) for _, ended in db.named("closed"))
        assert first == {seats[0][1].connection_id}
        assert second == {seat.connection_id for _, seat in seats[1:]}

    run(scenario)


@pytest.mark.parametrize("fault", [Overloaded("DATABASE_UNAVAILABLE"), Overloaded()])
def test_while_the_database_is_away_ends_wait_with_their_own_time(
    fault: DomainError, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        db.fails = fault
        peer, seat = await seated(register)
        register.end(peer)
        for _ in range(3):
            await hub.settled()
            hub.at += timedelta(seconds=1)
            hub.tick()
        await hub.settled()
        assert (register.unstored, len(db.named("closed"))) == (1, 4)
        db.fails = None
        hub.tick()
        await hub.settled()
        assert db.named("closed")[-1] == (CLASS, {seat.connection_id: NOON}), "the moment at which it closed"
        assert register.unstored == 0
        hub.tick(5)
        await hub.settled()
        assert len(db.named("closed")) == 5

    run(scenario)
    assert fault.code in caplog.text


def test_what_can_never_be_stored_is_left_to_the_sweeper_and_said(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        db.fails = NotFound()  # the class was deleted
        peer, _ = await seated(register)
        register.end(peer)
        await hub.settled()
        hub.tick()
        await hub.settled()
        assert (register.unstored, len(db.named("closed"))) == (0, 1)

    run(scenario)
    assert "1 ends of attendance were not stored: NOT_FOUND" in caplog.text


def test_a_fault_that_may_pass_is_tried_again_until_the_sweeper_has_been_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        db.fails = RuntimeError("a lock was not to be had")
        peer, _ = await seated(register)
        register.end(peer)
        for _ in range(30):
            await hub.settled()
            assert register.unstored == 1
            hub.at += timedelta(seconds=1)
            hub.tick()
        await hub.settled()
        assert register.unstored == 0

    run(scenario)
    assert "1 ends of attendance were not stored" in caplog.text
    caplog.clear()


def test_a_socket_that_was_closed_from_here_ends_at_the_next_tick() -> None:
    """A client that does not answer the close keeps the connection for seconds, but attends no more."""

    async def scenario() -> None:
        hub, register, db = scene()
        peer, seat = await seated(register)
        other, _ = await seated(register)
        peer.wire.closed = True
        hub.tick()
        await hub.settled()
        assert db.named("closed") == [(CLASS, {seat.connection_id: NOON})]
        register.end(peer)
        await hub.settled()
        assert len(db.named("closed")) == 1
        assert register.connection_of(other) is not None

    run(scenario)


# -- beats -------------------------------------------------------------------------------------------------------------


def test_every_ten_ticks_one_statement_beats_for_all() -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        seats = [(await seated(register, class_id))[1] for class_id in (CLASS, CLASS, OTHER)]
        hub.tick(BEAT_TICKS - 1)
        await hub.settled()
        assert db.hops == []
        hub.tick()
        await hub.settled()
        assert db.hops == [("beat", ([seat.interval_id for seat in seats],))]
        hub.tick(BEAT_TICKS)
        await hub.settled()
        assert len(db.named("beat")) == 2

    run(scenario)


def test_without_seats_nothing_beats_and_a_slow_beat_is_not_overtaken() -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        hub.tick(BEAT_TICKS)
        assert not hub.tasks
        await seated(register)
        db.gate = asyncio.Event()
        register.beat_soon()
        await asyncio.sleep(0)
        hub.tick(BEAT_TICKS * 2)
        await asyncio.sleep(0)
        assert len(db.named("beat")) == 1
        db.gate.set()
        await hub.settled()
        hub.tick(BEAT_TICKS)
        await hub.settled()
        assert len(db.named("beat")) == 2

    run(scenario)


def test_a_beat_that_is_not_taken_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        await seated(register)
        db.fails = Overloaded("DATABASE_UNAVAILABLE")
        hub.tick(BEAT_TICKS)
        await hub.settled()
        db.fails = None
        hub.tick(BEAT_TICKS)
        await hub.settled()
        assert (len(db.named("beat")), len(register)) == (2, 1)

    run(scenario)
    assert "a beat of 1 seats was not stored" in caplog.text


def test_whose_interval_is_over_gives_up_the_seat() -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        gone, seat = await seated(register)
        stays, _ = await seated(register)
        db.over = [seat.interval_id]
        register.beat_soon()
        await hub.settled()
        assert (register.connection_of(gone), len(register)) == (None, 1)
        register.end(gone)
        await hub.settled()
        assert db.named("closed") == [], "what is over already is not ended again"
        assert register.connection_of(stays) is not None

    run(scenario)


def test_an_old_beat_does_not_unseat_who_joined_again_meanwhile() -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        peer, seat = await seated(register)
        db.gate, db.over = asyncio.Event(), [seat.interval_id]
        register.beat_soon()
        await asyncio.sleep(0)
        register.leave(peer)

        async def again(_: UUID) -> service.Joined:
            return service.Joined(
                interval_id=seat.interval_id,
                class_id=CLASS,
                tenant_id=TENANT,
                attendance={},
                participants=1,
                crowded=False,
            )

        await register.enter(peer, again)
        db.gate.set()
        await hub.settled()
        assert register.connection_of(peer) is not None

    run(scenario)


def event(class_id: UUID, kind: str, **data: object) -> ChannelEvent:
    return ChannelEvent(f"class:{class_id}", 1, uuid4(), kind, data, NOON)


def test_the_end_of_a_class_beats_at_once_for_that_class() -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        _, seat = await seated(register)
        await seated(register, OTHER)
        heard = hub.heard["class"]
        heard(event(CLASS, "class_status_update", status="live"))
        heard(event(CLASS, "participant_joined", status="completed"))
        heard(event(uuid4(), "class_status_update", status="completed"))
        assert not hub.tasks
        db.over = [seat.interval_id]
        heard(event(CLASS, "class_status_update", status="completed"))
        await hub.settled()
        assert db.named("beat") == [([seat.interval_id],)]
        assert len(register) == 1

    run(scenario)


# -- crowds ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crowds are told of without the quarter of a second."""
    monkeypatch.setattr(registers, "NOTICE_S", 0)


@pytest.mark.usefixtures("quick")
def test_a_crowd_is_told_of_by_one_timer_a_class_until_nobody_is_left() -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        db.untold = 3
        for _ in range(20):
            await seated(register, crowded=True)
        assert len(hub.tasks) == 1
        await hub.settled()
        assert db.named("notice") == [(CLASS,)] * 4
        await seated(register, crowded=True)
        await hub.settled()
        assert len(db.named("notice")) == 5, "the next crowd is told of too"

    run(scenario)


@pytest.mark.usefixtures("quick")
def test_who_comes_while_others_are_told_of_is_told_of_next() -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        await seated(register, crowded=True)
        db.gate = asyncio.Event()
        while not db.named("notice"):  # noqa: ASYNC110 - turns of the loop, no time
            await asyncio.sleep(0)
        await seated(register, crowded=True)
        db.gate.set()
        await hub.settled()
        assert len(db.named("notice")) == 2

    run(scenario)


@pytest.mark.usefixtures("quick")
def test_a_telling_that_fails_is_left_to_the_sweeper_and_the_next_crowd_begins_anew(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        db.fails = Overloaded("DATABASE_UNAVAILABLE")
        await seated(register, crowded=True)
        await hub.settled()
        db.fails = None
        await seated(register, crowded=True)
        await hub.settled()
        assert len(db.named("notice")) == 2

    run(scenario)
    assert "a crowd was not told of: DATABASE_UNAVAILABLE" in caplog.text


# -- the end of the process --------------------------------------------------------------------------------------------


def test_the_end_of_the_process_stores_every_seat() -> None:
    async def scenario() -> None:
        _, register, db = scene()
        seats = [await seated(register, class_id) for class_id in (CLASS, OTHER, CLASS)]
        assert await register.flush(5)
        stored = {connection for _, ended in db.named("closed") for connection in ended}
        assert stored == {seat.connection_id for _, seat in seats}
        assert len(register) == 0

    run(scenario)


def test_the_end_of_the_process_waits_for_a_join_under_way() -> None:
    async def scenario() -> None:
        hub, register, db = scene()
        peer, answered = peer_of(), asyncio.Event()

        async def ask(_: UUID) -> service.Joined:
            await answered.wait()
            return joined()

        hub.spawn(register.enter(peer, ask))  # type: ignore[arg-type]  # its result is of no use here
        await asyncio.sleep(0)
        ending = asyncio.create_task(register.flush(5))
        await asyncio.sleep(0)
        peer.wire.closed = True
        answered.set()
        assert await ending
        assert len(db.named("closed")) == 1

    run(scenario)


def test_the_end_of_the_process_does_not_wait_for_ever(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registers, "PAUSE_S", 0.001)

    async def scenario() -> None:
        hub, register, db = scene()
        db.fails = Overloaded("DATABASE_UNAVAILABLE")
        for _ in range(3):
            await seated(register)
        assert await register.flush(0.02) is False
        assert len(db.named("closed")) > 1, "it was tried again"
        await hub.settled()

    run(scenario)
    assert "3 ends of attendance were not stored, and 0 joins not answered" in caplog.text


def test_logs_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """A database that is away is nobody's fault here."""
    caplog.set_level(logging.WARNING)

    async def scenario() -> None:
        hub, register, db = scene()
        db.fails = Overloaded("DATABASE_UNAVAILABLE")
        peer, _ = await seated(register)
        register.end(peer)
        await hub.settled()

    run(scenario)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
