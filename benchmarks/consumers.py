"""Two consumers of RabbitMQ that commit one row for each message. ``python -m benchmarks.consumers relay|worker|bare``.

``relay`` and ``worker`` are the product's own processes with one more actor, whose only hop notes one row. ``bare`` is
the least that does the same by hand: aio-pika, a pool of threads, one INSERT, one commit, one ack.
"""

from __future__ import annotations

import asyncio
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import ClassVar
from uuid import UUID

import aio_pika
import orjson
import uvloop
from aio_pika.abc import AbstractIncomingMessage
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from actors.registry import actor
from actors.runtime import DeliveryHop
from benchmarks.processes import ROOT
from edurise import activity
from edurise.adapters.affinity import AFFINITY
from edurise.authz import Principal
from edurise.config import Settings, read_settings
from edurise.container import Container
from edurise.outbox import Event

QUEUE = "benchmark"
BARE_QUEUE, BARE_TABLE = "bare", "bare_rows"


@dataclass(frozen=True, kw_only=True)
class Measured(Event):
    """An event that only benchmarks record."""

    topic: ClassVar[str] = "benchmarks.measured.v1"
    person_id: UUID
    course_id: UUID


def note(session: Session, who: Principal, event: Measured) -> None:
    """The one row."""
    activity.note(session, who.tenant, event.person_id, "measured", "course", event.course_id)


@actor(on=Measured, name=QUEUE)
async def measure(_c: Container, event: Measured, hop: DeliveryHop) -> None:
    """One final hop."""
    await hop(note, event, final=True)


def product(part: str) -> None:
    """The product's relay or worker, which now know the actor above."""
    sys.argv = ["run.py", part]
    runpy.run_path(str(ROOT / "run.py"), run_name="__main__")


async def bare(settings: Settings) -> None:
    """Commit one row for each message of the bare queue."""
    if not (settings.database_url and settings.amqp_url):
        raise RuntimeError("the benchmark names every service")
    if settings.cpu is not None:
        AFFINITY.pin(settings.cpu)
    engine = create_engine(settings.database_url, pool_size=settings.pool_size, max_overflow=0)
    threads = ThreadPoolExecutor(settings.pool_size)
    connection = await aio_pika.connect(settings.amqp_url)
    channel = await connection.channel(publisher_confirms=False)
    await channel.set_qos(prefetch_count=settings.worker_prefetch)
    queue = await channel.declare_queue(
        f"{settings.amqp_prefix}{BARE_QUEUE}", durable=True, arguments={"x-queue-type": "quorum"}
    )
    await queue.consume(partial(_taken, engine, threads))
    sys.stderr.write("EduRise bare is up\n")
    await asyncio.Event().wait()


_INSERT = text(f"INSERT INTO {BARE_TABLE} (id, at) VALUES (:id, now())")  # noqa: S608 - a constant


async def _taken(engine: Engine, threads: ThreadPoolExecutor, message: AbstractIncomingMessage) -> None:
    await asyncio.get_running_loop().run_in_executor(threads, _stored, engine, orjson.loads(message.body)["id"])
    await message.ack()


def _stored(engine: Engine, key: str) -> None:
    with engine.begin() as connection:
        connection.execute(_INSERT, {"id": key})


def main(part: str) -> None:
    """Run one of the parts until the process is ended."""
    if part == "bare":
        uvloop.run(bare(read_settings()))
    else:
        product(part)


if __name__ == "__main__":
    main(sys.argv[1])
