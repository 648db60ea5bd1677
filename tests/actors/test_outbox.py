"""What the relay takes from the outbox, what it leaves, and what travels."""

from __future__ import annotations

import asyncio
import random
import string
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from uuid_utils.compat import uuid7

from actors.registry import actor
from actors.runtime import DeliveryHop
from edurise import deliveries
from edurise.adapters.local_transport import LocalTransport
from tests.actors.workshop import START, Happened, Ignored, PaperTransport, Workshop, leave, run, until


def reacting(shop: Workshop) -> list[Happened]:
    called: list[Happened] = []

    @actor(on=Happened, name="tests.react", registry=shop.registry)
    async def react(c: object, event: Happened, hop: DeliveryHop) -> None:
        called.append(event)
        await hop(leave, event, final=True)

    return called


def stored(shop: Workshop, topic: str, payload: str) -> object:
    """An event as another version of the code would write it."""
    event_id = uuid7()
    values = {"id": event_id, "topic": topic, "payload": payload, "at": START}
    statement = "INSERT INTO outbox (id, topic, payload, at) VALUES (:id, :topic, CAST(:payload AS jsonb), :at)"
    shop.db.system_sync(lambda session: session.execute(text(statement), values) and None)
    return event_id


def test_an_event_that_nobody_wants_is_spread_to_nobody(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    shop.record(Ignored())
    run(shop.relay(paper).round())
    assert paper.sent == []
    assert shop.read("SELECT spread_at FROM outbox") == [{"spread_at": START}]


def test_a_topic_of_a_newer_version_waits_for_a_newer_relay(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    newer = stored(shop, "tests.happened.v2", "{}")
    known = shop.record(Happened())
    run(shop.relay(paper, batch=1).round())
    assert [one.event_id for one in paper.sent] == [known], "it does not stand in the way either"
    assert shop.read("SELECT id FROM outbox WHERE spread_at IS NULL") == [{"id": newer}]
    run(shop.relay(paper, wanted={**shop.registry.wanted(), "tests.happened.v2": ["tests.new"]}).round())
    assert paper.sent[-1].actor == "tests.new"


def test_a_delivery_of_an_unknown_actor_is_left_alone(shop: Workshop, paper: PaperTransport) -> None:
    shop.record(Happened())
    run(shop.relay(paper, wanted={Happened.topic: ["tests.new"]}).round())
    paper.take()
    shop.advance(10_000)
    reacting(shop)
    run(shop.relay(paper).round())
    assert paper.sent == []


def test_an_unknown_actor_is_acknowledged_and_stays_open(shop: Workshop, paper: PaperTransport) -> None:
    event_id = shop.record(Happened())
    run(shop.relay(paper, wanted={Happened.topic: ["tests.new"]}).round())
    run(shop.runtime.handle(paper.sent[0]))
    assert shop.delivery(event_id)["done_at"] is None


def test_fields_of_a_newer_version_are_ignored_and_missing_ones_have_defaults(
    shop: Workshop, paper: PaperTransport
) -> None:
    called = reacting(shop)
    thing = uuid7()
    stored(shop, Happened.topic, f'{{"thing_id": "{thing}", "colour": "blue"}}')
    run(shop.relay(paper).round())
    run(shop.runtime.handle(paper.sent[0]))
    assert [(one.thing_id, one.note) for one in called] == [(thing, "")]


def test_an_event_that_cannot_be_read_is_dead_at_once(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    event_id = stored(shop, Happened.topic, '{"thing_id": 7}')
    run(shop.relay(paper).round())
    run(shop.runtime.handle(paper.sent[0]))
    found = shop.delivery(event_id)
    assert found["dead_at"] is not None
    assert "MalformedEvent" in found["last_error"]


def test_a_huge_payload_does_not_travel_and_arrives_whole(shop: Workshop, paper: PaperTransport) -> None:
    called = reacting(shop)
    note = "".join(random.Random(7).choices(string.ascii_letters, k=2_000_000))
    shop.record(Happened(note=note))
    run(shop.relay(paper).round())
    assert paper.sent[0].payload is None
    run(shop.runtime.handle(paper.sent[0]))
    assert called[0].note == note


def test_an_event_that_is_gone_makes_its_delivery_dead(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    event_id = shop.record(Happened())
    paper.confirms = False
    wanted = shop.registry.wanted()
    run(shop.db.system(deliveries.claim, wanted, 10))
    shop.owner("TRUNCATE outbox")
    shop.advance(60)
    paper.confirms = True
    run(shop.relay(paper).round())
    run(shop.runtime.handle(paper.sent[0]))
    assert "EventGone" in shop.delivery(event_id)["last_error"]


def test_done_deliveries_are_forgotten_after_seven_days(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    shop.clock.at = datetime.now(UTC)  # ids are of the real time, and by them the old ones are found
    done, waiting = shop.record(Happened()), shop.record(Happened())
    run(shop.relay(paper).round())
    run(shop.runtime.handle(paper.sent[0]))
    kept = timedelta(days=7)
    assert run(shop.db.system(deliveries.forget_done, kept)) == 0
    shop.advance(kept.total_seconds() + 1)
    assert run(shop.db.system(deliveries.forget_done, kept)) == 1
    assert shop.read("SELECT event_id FROM deliveries") == [{"event_id": waiting}]
    run(shop.runtime.handle(paper.sent[0]))  # a copy that comes even later changes nothing that is stored
    assert len(shop.effects(done)) == 1


def test_a_transport_that_forgets_is_told_again_after_a_restart(shop: Workshop) -> None:
    called = reacting(shop)
    for _ in range(3):
        shop.record(Happened())
    run(shop.relay(LocalTransport()).round())  # and the process ends before anybody consumes
    assert called == []

    async def restarted() -> None:
        transport = LocalTransport(drain_s=1)
        relay = asyncio.ensure_future(shop.relay(transport).run())
        worker = asyncio.ensure_future(shop.runtime.run(transport))
        await until(lambda: len(shop.effects()) == 3)
        for task in (relay, worker):
            task.cancel()
        await asyncio.wait({relay, worker})

    run(restarted())
    assert len(called) == 3
