"""From the transaction to the effect: at least once on the way, once in the database, whatever is repeated, lost or
killed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from actors import deadletters
from actors.registry import actor
from actors.relay import BrokerAway
from actors.runtime import DeliveryHop
from edurise import deliveries, outbox
from edurise.authz import Principal, actor_principal
from edurise.errors import Invalid, NotFound, Upstream
from edurise.outbox import Event
from tests.actors.workshop import (
    MAIN,
    OTHER,
    START,
    Happened,
    PaperTransport,
    Workshop,
    leave,
    leave_as_system,
    run,
)

STEPS_S = (1.0, 10.0, 60.0, 600.0)


def reacting(shop: Workshop) -> list[Event]:
    """Declare the plain actor; returns the list of the events that it was called with."""
    called: list[Event] = []

    @actor(on=Happened, name="tests.react", registry=shop.registry)
    async def react(c: object, event: Happened, hop: DeliveryHop) -> None:
        called.append(event)
        await hop(leave, event, event.note, final=True)

    return called


def failing(shop: Workshop, error: Exception, *, fatal: tuple[type[Exception], ...] = ()) -> list[Event]:
    """Declare an actor that always fails; returns the list of its calls."""
    called: list[Event] = []

    @actor(on=Happened, fatal=fatal, name="tests.fail", registry=shop.registry)
    async def fail(c: object, event: Happened, hop: DeliveryHop) -> None:
        called.append(event)
        raise error

    return called


async def sent(shop: Workshop, paper: PaperTransport) -> list:
    """One round of the relay, and what it published."""
    await shop.relay(paper).round()
    return paper.take()


def test_an_event_reaches_its_actor_with_all_that_was_recorded(shop: Workshop, paper: PaperTransport) -> None:
    called = reacting(shop)
    event = Happened(note="déjà vu 🎓")
    shop.record(event)

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        assert (dispatch.topic, dispatch.tenant_id, dispatch.attempts, dispatch.again) == (
            Happened.topic,
            MAIN,
            0,
            False,
        )
        await shop.runtime.handle(dispatch)

    run(story())
    assert called == [replace(event, at=START, tenant_id=MAIN)]
    assert shop.effects() == ["déjà vu 🎓"]
    assert shop.delivery(event.id)["done_at"] == START


def test_the_bell_rings_only_after_the_commit(shop: Workshop) -> None:
    told: list[object] = []
    shop.db._on_commit = told.append

    def fails(session: Session, who: Principal) -> None:
        outbox.record(session, who, Happened())
        raise NotFound

    with pytest.raises(NotFound):
        shop.db.run_sync(actor_principal(MAIN), fails)
    assert told == []
    assert shop.read("SELECT * FROM outbox") == []
    shop.record(Happened())
    assert [after.bells for after in told] == [{"outbox"}]


def test_a_message_that_comes_twice_takes_effect_once(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    event_id = shop.record(Happened())

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)
        await shop.runtime.handle(dispatch)
        assert await sent(shop, paper) == []

    run(story())
    assert len(shop.effects(event_id)) == 1
    assert shop.delivery(event_id)["attempts"] == 0


@pytest.mark.parametrize("copies", [2, 4])
def test_copies_that_are_handled_at_once_take_effect_once(shop: Workshop, paper: PaperTransport, copies: int) -> None:
    reacting(shop)
    ids = [shop.record(Happened()) for _ in range(20)]

    async def story() -> None:
        dispatches = await sent(shop, paper)
        assert len(dispatches) == len(ids)
        runtimes = [shop.runtime for _ in range(copies)]
        await asyncio.gather(*(runtime.handle(one) for one in dispatches for runtime in runtimes))

    run(story())
    assert [len(shop.effects(one)) for one in ids] == [1] * len(ids)
    assert shop.read("SELECT count(*) AS n FROM deliveries WHERE done_at IS NULL OR attempts > 0") == [{"n": 0}]


def test_a_worker_that_dies_after_its_hop_leaves_no_second_effect(shop: Workshop, paper: PaperTransport) -> None:
    called = reacting(shop)
    event_id = shop.record(Happened())

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)  # and no ack
        await shop.runtime.handle(replace(dispatch, again=True))  # as the broker gives it to the next one

    run(story())
    assert len(called) == 1, "the second worker sees that it is done before it calls the actor"
    assert len(shop.effects(event_id)) == 1


def test_a_relay_that_dies_between_publish_and_mark_is_replaced(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    event_id = shop.record(Happened())

    async def story() -> None:
        batch = await shop.db.system(deliveries.claim, shop.registry.wanted(), 100)
        await paper.publish(batch.dispatches)  # and no mark
        (first,) = paper.take()
        assert await sent(shop, paper) == [], "the claim still holds"
        shop.advance(deliveries.CLAIM_S)
        (second,) = await sent(shop, paper)
        assert (second.event_id, second.again) == (first.event_id, True)
        await shop.runtime.handle(second)
        await shop.runtime.handle(first)

    run(story())
    assert len(shop.effects(event_id)) == 1


def test_a_late_mark_of_a_lapsed_claim_changes_nothing(shop: Workshop, paper: PaperTransport) -> None:
    failing(shop, Upstream())
    event_id = shop.record(Happened())

    async def story() -> None:
        batch = await shop.db.system(deliveries.claim, shop.registry.wanted(), 100)
        await shop.runtime.handle(batch.dispatches[0])  # fails before the relay marks
        await shop.db.system(deliveries.mark_sent, batch, batch.dispatches, 900.0)

    run(story())
    assert shop.delivery(event_id)["next_at"] == START + timedelta(seconds=STEPS_S[0])


def test_sent_but_not_done_is_sent_again(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    shop.record(Happened())

    async def story() -> None:
        assert len(await sent(shop, paper)) == 1
        shop.advance(shop.settings.delivery_resend_s - 1)
        assert await sent(shop, paper) == []
        shop.advance(1)
        (again,) = await sent(shop, paper)
        assert again.again

    run(story())


def test_what_the_broker_does_not_confirm_is_sent_again_soon(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    event_id = shop.record(Happened())
    paper.confirms = False

    async def story() -> None:
        with pytest.raises(BrokerAway):
            await shop.relay(paper).round()
        assert shop.delivery(event_id)["sent_at"] is None
        paper.confirms = True
        assert await sent(shop, paper) == []
        shop.advance(1)
        assert len(await sent(shop, paper)) == 1

    run(story())


def test_two_relays_share_the_work(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    ids = {shop.record(Happened()) for _ in range(60)}

    async def story() -> None:
        relays = [shop.relay(paper, batch=10) for _ in range(3)]
        for _ in range(4):
            await asyncio.gather(*(relay.round() for relay in relays))

    run(story())
    assert len(paper.sent) == len(ids), "none twice"
    assert {one.event_id for one in paper.sent} == ids


def test_a_batch_is_sent_in_the_order_of_its_events(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    ids = [shop.record(Happened()) for _ in range(12)]
    run(shop.relay(paper, batch=5).round())
    run(shop.relay(paper, batch=50).round())
    assert [one.event_id for one in paper.sent] == ids


def test_a_failing_actor_walks_the_steps_and_is_dead_after_the_last(shop: Workshop, paper: PaperTransport) -> None:
    called = failing(shop, Upstream())
    event_id = shop.record(Happened())

    async def story() -> None:
        for number, step in enumerate(STEPS_S):
            (dispatch,) = await sent(shop, paper)
            assert dispatch.attempts == number
            await shop.runtime.handle(dispatch)
            assert shop.delivery(event_id)["next_at"] == shop.clock.now() + timedelta(seconds=step)
            shop.advance(step - 0.5)
            assert await sent(shop, paper) == []
            shop.advance(0.5)
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)
        shop.advance(100_000)
        assert await sent(shop, paper) == []

    run(story())
    found = shop.delivery(event_id)
    assert (found["attempts"], found["done_at"]) == (5, None)
    assert found["dead_at"] is not None
    assert found["last_error"].startswith("Upstream: UPSTREAM_UNAVAILABLE")
    assert len(called) == 5


@pytest.mark.parametrize(
    ("error", "fatal"),
    [(NotFound(), (NotFound,)), (KeyError("x"), (LookupError,)), (Invalid(), ())],
    ids=["declared", "declared by its base", "by its kind"],
)
def test_a_fatal_error_is_dead_at_once(
    shop: Workshop, paper: PaperTransport, error: Exception, fatal: tuple[type[Exception], ...]
) -> None:
    failing(shop, error, fatal=fatal)
    event_id = shop.record(Happened())

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)

    run(story())
    assert shop.delivery(event_id)["dead_at"] == START


def test_a_service_that_asks_for_time_gets_it(shop: Workshop, paper: PaperTransport) -> None:
    failing(shop, Upstream(retry_after_s=45.0))
    event_id = shop.record(Happened())

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)

    run(story())
    assert shop.delivery(event_id)["next_at"] == START + timedelta(seconds=45)


def test_a_stale_copy_that_fails_is_not_counted_twice(shop: Workshop, paper: PaperTransport) -> None:
    failing(shop, Upstream())
    event_id = shop.record(Happened())

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)
        await shop.runtime.handle(dispatch)
        await shop.runtime.lost(dispatch)

    run(story())
    assert shop.delivery(event_id)["attempts"] == 1


def test_a_delivery_that_killed_its_workers_is_a_failure(shop: Workshop, paper: PaperTransport) -> None:
    reacting(shop)
    event_id = shop.record(Happened())

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.lost(dispatch)
        shop.advance(STEPS_S[0])
        (again,) = await sent(shop, paper)
        assert again.attempts == 1
        await shop.runtime.handle(again)

    run(story())
    assert len(shop.effects(event_id)) == 1


def test_dead_letters_are_listed_shown_and_replayed(shop: Workshop, paper: PaperTransport) -> None:
    failing(shop, NotFound(), fatal=(NotFound,))
    event_id = shop.record(Happened(note="kept"))

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)
        for _ in range(2):  # looking never destroys
            (found,) = await deadletters.listed(shop)
            assert (found["event_id"], found["actor"]) == (event_id, "tests.fail")
        (shown,) = await deadletters.show(shop, event_id)
        assert shown["payload"]["note"] == "kept"
        with pytest.raises(NotFound):
            await deadletters.show(shop, uuid7())
        assert await deadletters.replay(shop, uuid7()) == 0
        assert await deadletters.replay(shop, event_id, "tests.fail") == 1
        assert await deadletters.replay(shop) == 0
        (again,) = await sent(shop, paper)
        assert again.attempts == 0

    run(story())


def test_a_dead_delivery_is_not_revived_by_a_late_copy(shop: Workshop, paper: PaperTransport) -> None:
    called = reacting(shop)
    event_id = shop.record(Happened())

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.db.system(deliveries.mark_failed, dispatch, "by hand", STEPS_S, True)
        await shop.runtime.handle(dispatch)

    run(story())
    assert len(called) == 1
    assert shop.effects(event_id) == []


def test_an_effect_that_fails_leaves_neither_row_nor_mark(shop: Workshop, paper: PaperTransport) -> None:
    def half(session: Session, who: Principal, event: Event) -> None:
        leave(session, who, event)
        raise Upstream

    @actor(on=Happened, name="tests.half", registry=shop.registry)
    async def react(c: object, event: Happened, hop: DeliveryHop) -> None:
        await hop(half, event, final=True)

    event_id = shop.record(Happened())

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)

    run(story())
    assert shop.effects() == []
    assert (shop.delivery(event_id)["done_at"], shop.delivery(event_id)["attempts"]) == (None, 1)


def test_an_actor_without_a_final_hop_is_dead_at_once(shop: Workshop, paper: PaperTransport) -> None:
    @actor(on=Happened, name="tests.forgetful", registry=shop.registry)
    async def react(c: object, event: Happened, hop: DeliveryHop) -> None:
        await hop(leave, event)

    event_id = shop.record(Happened())

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)

    run(story())
    found = shop.delivery(event_id)
    assert found["dead_at"] is not None
    assert "NoFinalHop" in found["last_error"]


def test_nothing_follows_a_final_hop(shop: Workshop, paper: PaperTransport) -> None:
    raised: list[str] = []

    @actor(on=Happened, name="tests.eager", registry=shop.registry)
    async def react(c: object, event: Happened, hop: DeliveryHop) -> None:
        await hop.finish()
        with pytest.raises(RuntimeError) as refused:
            await hop(leave, event, final=True)
        raised.append(str(refused.value))

    event_id = shop.record(Happened())

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)

    run(story())
    assert raised == ["tests.eager goes on after its final hop"]
    assert shop.effects() == []
    assert shop.delivery(event_id)["done_at"] is not None


@pytest.mark.parametrize("how", ["in an organization", "as the system", "nowhere"])
def test_an_event_of_the_platform_is_finished_anywhere(shop: Workshop, paper: PaperTransport, how: str) -> None:
    @actor(on=Happened, name="tests.platform", registry=shop.registry)
    async def react(c: object, event: Happened, hop: DeliveryHop) -> None:
        assert event.tenant_id is None
        if how == "in an organization":
            await hop(leave, event, final=True, tenant=OTHER)
        elif how == "as the system":
            await hop.system(leave_as_system, event, final=True)
        else:
            await hop(leave, event, final=True)

    event_id = shop.record(Happened(), tenant=None)

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)

    run(story())
    assert len(shop.effects(event_id)) == 1
    assert shop.delivery(event_id)["done_at"] is not None


def test_a_final_hop_in_another_organization_is_refused(shop: Workshop, paper: PaperTransport) -> None:
    @actor(on=Happened, name="tests.stray", registry=shop.registry)
    async def react(c: object, event: Happened, hop: DeliveryHop) -> None:
        await hop(leave, event, final=True, tenant=OTHER)

    event_id = shop.record(Happened())

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)

    run(story())
    assert shop.effects() == []
    assert "Misplaced" in shop.delivery(event_id)["last_error"]


def test_a_hop_acts_in_the_events_organization_for_the_person(shop: Workshop, paper: PaperTransport) -> None:
    person = uuid7()
    seen: list[tuple[str, str]] = []

    def look(session: Session, who: Principal) -> None:
        found = session.execute(text("SELECT current_setting('app.tenant'), current_setting('app.user')")).one()
        seen.append((found[0], found[1]))
        assert (who.tenant, who.user_id) == (OTHER, person)

    @actor(on=Happened, name="tests.look", registry=shop.registry)
    async def react(c: object, event: Happened, hop: DeliveryHop) -> None:
        await hop(look, person=person, final=True)

    shop.record(Happened(), tenant=OTHER)

    async def story() -> None:
        (dispatch,) = await sent(shop, paper)
        await shop.runtime.handle(dispatch)

    run(story())
    assert seen == [(str(OTHER), str(person))]


def test_each_actor_has_a_delivery_of_its_own(shop: Workshop, paper: PaperTransport) -> None:
    called = reacting(shop)
    failing(shop, Upstream())
    event_id = shop.record(Happened())

    async def story() -> None:
        dispatches = await sent(shop, paper)
        assert [one.actor for one in dispatches] == ["tests.fail", "tests.react"]
        await asyncio.gather(*(shop.runtime.handle(one) for one in dispatches))

    run(story())
    found = {row["actor"]: row for row in shop.read("SELECT * FROM deliveries WHERE event_id = :id", id=event_id)}
    assert found["tests.react"]["done_at"] is not None
    assert found["tests.fail"]["attempts"] == 1
    assert len(called) == 1
