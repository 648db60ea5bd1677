"""Numbering under real concurrency, and who may see and append what, as the application role."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import channels
from edurise.adapters.clock import SetClock
from edurise.adapters.migrations import migrate
from edurise.authz import Principal
from edurise.db import AfterCommit, Database, Urls, WrongTenant
from edurise.ports import ChannelEvent
from tests.harness.machine import own_database

MAIN = UUID("00000000-0000-7000-8000-000000000001")
THREADS, EACH = 6, 25


@pytest.fixture(scope="module")
def urls() -> Iterator[Urls]:
    with own_database("channels") as found:
        migrate(found.owner)
        yield Urls(application=found.application, system=found.system)


@pytest.fixture
def clock() -> SetClock:
    return SetClock(datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture
def committed() -> list[ChannelEvent]:
    return []


@pytest.fixture
def channel_database(urls: Urls, clock: SetClock, committed: list[ChannelEvent]) -> Iterator[Database]:
    lock = threading.Lock()

    def note(after: AfterCommit) -> None:
        with lock:
            committed.extend(after.events)

    found = Database(urls, clock, pool_size=THREADS, system_pool_size=2, on_commit=note)
    yield found
    found.close()


@pytest.fixture
def other_tenant(channel_database: Database) -> UUID:
    return channel_database.system_sync(make_tenant)


@pytest.fixture
def learner(channel_database: Database) -> UUID:
    return channel_database.system_sync(make_person)


def make_tenant(session: Session) -> UUID:
    found = uuid7()
    session.execute(
        text("INSERT INTO organizations (id, name, subdomain) VALUES (:id, 'B', :sub)"),
        {"id": found, "sub": str(found)},
    )
    return found


def make_person(session: Session) -> UUID:
    found = uuid7()
    session.execute(
        text("INSERT INTO people (id, email, first_name, last_name) VALUES (:id, :email, 'A', 'B')"),
        {"id": found, "email": f"{found}@example.org"},
    )
    return found


def actor(tenant: UUID | None = MAIN) -> Principal:
    return Principal(wanted=tenant, service=True)


def append(session: Session, who: Principal, channel: str, number: int = 0) -> int:
    return channels.append(session, channel, "notification", {"n": number}, who.standing.tenant_id).offset


def visible(session: Session, who: Principal) -> tuple[list[str], list[str]]:
    names = session.execute(text("SELECT name FROM channels ORDER BY name")).scalars().all()
    events = session.execute(text("SELECT DISTINCT channel FROM channel_events ORDER BY channel")).scalars().all()
    return list(names), list(events)


def test_concurrent_appends_have_no_gaps_and_the_order_of_their_commits(
    channel_database: Database, committed: list[ChannelEvent], learner: UUID
) -> None:
    name = f"notifications:{learner}"
    ready = threading.Barrier(THREADS)

    def work(thread: int) -> None:
        ready.wait()
        for number in range(EACH):
            channel_database.run_sync(actor(), append, name, thread * 1000 + number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    found = channel_database.system_sync(channels.replay, name, 0, None)
    assert [event.offset for event in found.events] == list(range(1, THREADS * EACH + 1))
    assert found.head == THREADS * EACH
    assert {event.offset: event.data["n"] for event in committed} == {e.offset: e.data["n"] for e in found.events}
    for thread in range(THREADS):  # what one thread committed later has the higher number
        own = [event.data["n"] for event in found.events if event.data["n"] // 1000 == thread]
        assert own == sorted(own)


def test_a_reader_never_sees_a_later_number_without_the_earlier_one(channel_database: Database, learner: UUID) -> None:
    name = f"notifications:{learner}"
    done = threading.Event()
    seen: list[list[int]] = []

    def read() -> None:
        while not done.is_set():
            found = channel_database.system_sync(channels.replay, name, 0, None)
            seen.append([event.offset for event in found.events])
            assert len(found.events) == found.head

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda number: channel_database.run_sync(actor(), append, name, number), range(40)))
    done.set()
    reader.join()
    assert all(offsets == list(range(1, len(offsets) + 1)) for offsets in seen)


def test_a_rolled_back_append_leaves_no_gap_and_is_not_announced(
    channel_database: Database, committed: list[ChannelEvent], learner: UUID
) -> None:
    name = f"notifications:{learner}"

    def failing(session: Session, who: Principal) -> None:
        append(session, who, name)
        raise LookupError

    with pytest.raises(LookupError):
        channel_database.run_sync(actor(), failing)
    assert channel_database.run_sync(actor(), append, name) == 1
    assert [event.offset for event in committed] == [1]


def test_the_event_that_is_announced_is_the_one_that_is_read(
    channel_database: Database, committed: list[ChannelEvent], learner: UUID
) -> None:
    name = f"notifications:{learner}"
    channel_database.run_sync(actor(), append, name, 5)
    who = Principal(user_id=learner, wanted=MAIN)
    assert channel_database.run_sync(who, channels.read, name, 0, None).events == committed


def test_a_person_sees_the_own_channel_in_every_organization_and_no_other(
    channel_database: Database, other_tenant: UUID, learner: UUID
) -> None:
    stranger = channel_database.system_sync(make_person)
    mine, theirs = f"notifications:{learner}", f"notifications:{stranger}"
    for tenant in (MAIN, other_tenant):
        channel_database.run_sync(actor(tenant), append, mine)
        channel_database.run_sync(actor(tenant), append, theirs)
    for wanted in (MAIN, other_tenant, None):
        who = Principal(user_id=learner, wanted=wanted)
        assert mine in channel_database.run_sync(who, visible)[0]
        assert all(theirs not in found for found in channel_database.run_sync(who, visible))
        assert channel_database.run_sync(who, channels.read, mine, 0, None).head == 2
        hidden = channel_database.run_sync(who, channels.read, theirs, 0, None)
        assert (hidden.head, hidden.events, hidden.epoch) == (0, [], None)
    assert channel_database.run_sync(actor(), channels.read, mine, 0, None).head == 0  # an actor reads nobody's


def test_a_channel_of_an_organization_is_its_own(channel_database: Database, other_tenant: UUID, learner: UUID) -> None:
    name = f"chat:{uuid7()}"
    assert channel_database.run_sync(actor(), append, name) == 1
    who = Principal(user_id=learner, wanted=MAIN)
    assert channel_database.run_sync(who, channels.read, name, 0, None).head == 1
    elsewhere = Principal(user_id=learner, wanted=other_tenant)
    assert channel_database.run_sync(elsewhere, channels.read, name, 0, None).head == 0
    assert channel_database.run_sync(Principal(user_id=learner), channels.read, name, 0, None).head == 0
    with pytest.raises(ProgrammingError, match="belongs to somebody else"):
        channel_database.run_sync(actor(other_tenant), append, name)
    assert channel_database.run_sync(actor(), append, name) == 2


def test_a_personal_channel_is_not_taken_over_by_an_organization(channel_database: Database, learner: UUID) -> None:
    name = f"notifications:{learner}"
    channel_database.run_sync(actor(), append, name)

    def take(session: Session, who: Principal) -> None:
        session.execute(text("SELECT * FROM channel_append(:name, NULL, 't', '{}', now())"), {"name": name})

    with pytest.raises(ProgrammingError, match="belongs to somebody else"):
        channel_database.run_sync(actor(), take)


def test_outside_of_an_organization_one_appends_only_to_oneself(channel_database: Database, learner: UUID) -> None:
    stranger = channel_database.system_sync(make_person)
    who = Principal(user_id=learner)
    assert channel_database.run_sync(who, append, f"notifications:{learner}") == 1
    for name in (f"notifications:{stranger}", "chat:1"):
        with pytest.raises(ProgrammingError, match="no organization is entered"):
            channel_database.run_sync(who, append, name)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO channels (name, person_id, epoch, head) VALUES ('x:1', gen_random_uuid(), gen_random_uuid(), 1)",
        "UPDATE channels SET head = 7",
        "DELETE FROM channels",
        "INSERT INTO channel_events (channel, \"offset\", type, data, at) VALUES ('x:1', 1, 't', '{}', now())",
        "UPDATE channel_events SET data = '{}'",
        "DELETE FROM channel_events",
    ],
)
def test_the_application_role_writes_by_the_function_alone(
    channel_database: Database, learner: UUID, statement: str
) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        channel_database.run_sync(actor(), lambda session, _: session.execute(text(statement)) and None)


def test_an_event_for_another_organization_than_the_entered_one_is_a_programming_error(
    channel_database: Database, learner: UUID
) -> None:
    def wrong(session: Session, who: Principal) -> None:
        channels.append(session, f"notifications:{learner}", "x", {}, uuid7())

    with pytest.raises(WrongTenant):
        channel_database.run_sync(actor(), wrong)


@pytest.mark.parametrize("name", ["", "notifications", "notifications:", ":x", "notifications:nobody"])
def test_what_is_no_channel_name_is_refused(channel_database: Database, name: str) -> None:
    with pytest.raises(ValueError, match=r"channel name|badly formed"):
        channel_database.run_sync(actor(), append, name)


def test_trimming_takes_the_old_in_portions_and_moves_the_mark(
    channel_database: Database, clock: SetClock, learner: UUID
) -> None:
    name = f"notifications:{learner}"
    for _ in range(5):
        channel_database.run_sync(actor(), append, name)
    clock.advance(timedelta(days=8))
    channel_database.run_sync(actor(), append, name)
    removed = 0
    while (found := channel_database.system_sync(channels.trim, 7, 2)) == 2:
        removed += found
    assert removed + found >= 5
    epoch = channel_database.system_sync(channels.heads, [name, "chat:none"])[name][1]
    assert channel_database.system_sync(channels.heads, ["chat:none"]) == {}
    assert channel_database.system_sync(channels.replay, name, 4, epoch).recovered is False
    assert [e.offset for e in channel_database.system_sync(channels.replay, name, 5, epoch).events] == [6]


def test_a_person_who_is_erased_takes_the_channel_along(channel_database: Database, learner: UUID) -> None:
    name = f"notifications:{learner}"
    channel_database.run_sync(actor(), append, name)
    channel_database.system_sync(
        lambda session: session.execute(text("DELETE FROM people WHERE id = :id"), {"id": learner}) and None
    )
    assert channel_database.system_sync(channels.heads, [name]) == {}
