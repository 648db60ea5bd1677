"""Deliveries: what the relay put into RabbitMQ, to actors whose hops are committed, beside the least that could do it.

Like for like, both consumers begin on a filled queue. The whole path, with the relay working beside the worker, is
measured once and stands among the details.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from uuid import uuid4

import aio_pika
import orjson
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.orm import Session

from benchmarks import flame
from benchmarks.consumers import BARE_QUEUE, BARE_TABLE
from benchmarks.consumers import Measured as Event
from benchmarks.processes import Child
from benchmarks.registry import Measured, figure
from benchmarks.stage import CORE, RUNS, Stage, median, spread
from edurise import outbox
from edurise.adapters.clock import SystemClock
from edurise.db import Database, Urls
from tests.harness.machine import SHARED, amqp_prefix

_TARGET = 0.5
_EVENTS = 3_000
_PREFETCH = "100"
_PATIENCE_S = 120.0
_DONE = "deliveries WHERE done_at IS NOT NULL"
_SENT = "deliveries WHERE sent_at IS NOT NULL"


@figure("deliveries")
def deliveries(stage: Stage) -> Measured:
    """The same number of events and of bare messages, in turn; both begin when everything is stored."""
    owner = create_engine(stage.urls.owner, poolclass=NullPool)
    with owner.begin() as connection:
        connection.execute(text(f"CREATE TABLE IF NOT EXISTS {BARE_TABLE} (id uuid PRIMARY KEY, at timestamptz)"))
        connection.execute(text(f"GRANT INSERT ON {BARE_TABLE} TO edurise_app"))
    stage.forget_events()
    settings = stage.settings(EDU_WORKER_PREFETCH=_PREFETCH)
    ours: list[float] = []
    bare: list[float] = []
    for run in range(RUNS):
        for is_ours in (run % 2 == 0, run % 2 == 1):
            (ours if is_ours else bare).append(_product(stage, settings) if is_ours else _bare(stage, settings))
    whole = _whole(stage, settings)
    if stage.profile_to is not None:
        _product(stage, settings, stage.profile_to)
    ratios = [one / other for one, other in zip(ours, bare, strict=True)]
    return Measured(
        name="deliveries",
        value=median(ours),
        unit="deliveries/s",
        ratio=median(ratios),
        of=f"bare aio-pika consumer, one row a message, prefetch {_PREFETCH}",
        target=f"≥ {_TARGET} × bare consumer",
        holds=median(ratios) >= _TARGET,
        details=(
            f"bare {median(bare):,.0f}/s",
            f"ratio {spread(ratios)}",
            f"{_EVENTS:,} deliveries a run, quorum queue → worker → committed and marked done",
            f"with the relay beside it, outbox → relay → queue → worker: {whole:,.0f}/s",
        ),
    )


def _product(stage: Stage, settings: dict[str, str], profile_to: Path | None = None) -> float:
    """Record the events, relay them all, then start the worker and wait until all are done."""
    _record(stage)
    sent = _count(stage, _SENT)
    relay = _child(stage, "relay", settings)
    _wait(stage, _SENT, sent, [relay])
    relay.stop()
    before = _count(stage, _DONE)
    children = [_child(stage, "worker", settings)]
    if profile_to is None:
        return _rate(stage, children, _DONE, before)
    profile_to.mkdir(parents=True, exist_ok=True)
    with flame.record(children[0], 3, profile_to / "deliveries-worker.folded") as spy:
        rate = _rate(stage, children, _DONE, before)
        spy.wait()
    print(f"\ndeliveries, worker: {flame.summary(profile_to / 'deliveries-worker.folded')}\n")
    return rate


def _whole(stage: Stage, settings: dict[str, str]) -> float:
    """Record the events, start relay and worker together, and wait until all are done."""
    _record(stage)
    before = _count(stage, _DONE)
    return _rate(stage, [_child(stage, part, settings) for part in ("worker", "relay")], _DONE, before)


def _wait(stage: Stage, rows: str, before: int, children: list[Child]) -> None:
    limit = time.monotonic() + _PATIENCE_S
    while _count(stage, rows) - before < _EVENTS:
        for child in children:
            child.check()
        if time.monotonic() > limit:
            raise RuntimeError(f"not all of {_EVENTS} arrived: {children[0].tail()}")
        time.sleep(0.05)


def _bare(stage: Stage, settings: dict[str, str]) -> float:
    """Publish the messages, start the consumer, wait until all rows are there."""
    asyncio.run(_publish())
    before = _count(stage, BARE_TABLE)
    return _rate(stage, [_child(stage, "bare", settings)], BARE_TABLE, before)


def _child(stage: Stage, part: str, settings: dict[str, str]) -> Child:
    """A process; both consumers stay on one core, the relay may use any."""
    settings = settings if part == "relay" else {**settings, "EDU_CPU": CORE}
    return stage.spawn(f"consumers {part}", ["-m", "benchmarks.consumers", part], settings, ready=f"EduRise {part}")


def _rate(stage: Stage, children: list[Child], rows: str, before: int) -> float:
    """Rows a second from when a tenth is there, so that no start-up counts, until all are."""
    limit = time.monotonic() + _PATIENCE_S
    began, at_start = 0.0, 0
    while (count := _count(stage, rows) - before) < _EVENTS:
        if not began and count >= _EVENTS // 10:
            began, at_start = time.monotonic(), count
        for child in children:
            child.check()
        if time.monotonic() > limit:
            raise RuntimeError(f"only {count} of {_EVENTS} arrived: {children[0].tail()}")
        time.sleep(0.02)
    rate = (_EVENTS - at_start) / (time.monotonic() - began)
    for child in children:
        child.stop()
    return rate


def _record(stage: Stage) -> None:
    db = Database(Urls(stage.urls.application, stage.urls.system), SystemClock())
    person, course = stage.bulk.students[0].id, stage.bulk.free[0]

    def recorded(session: Session) -> None:
        for _ in range(_EVENTS):
            outbox.record(session, stage.bulk.tenants[0], Event(person_id=person, course_id=course))

    try:
        db.system_sync(recorded)
    finally:
        db.close()


async def _publish() -> None:
    name = f"{amqp_prefix()}{BARE_QUEUE}"
    connection = await aio_pika.connect(SHARED["rabbitmq"].url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        messages = [
            aio_pika.Message(orjson.dumps({"id": str(uuid4())}), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            for _ in range(_EVENTS)
        ]
        for at in range(0, _EVENTS, 500):
            await asyncio.gather(*(channel.default_exchange.publish(one, name) for one in messages[at : at + 500]))


def _count(stage: Stage, rows: str) -> int:
    engine = create_engine(stage.urls.owner, poolclass=NullPool)
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {rows}")).scalar_one())  # noqa: S608 - constants
