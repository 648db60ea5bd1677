"""One leader at a time, jobs when they are due, and neither lost with the process."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from actors import jobs as kernel
from actors.schedule import LEASE_S, RETRY_S, Jobs, Schedule, job, load_jobs
from tests.actors.workshop import START, Happened, Workshop, run, until


def counting(jobs: Jobs, every_s: float, name: str = "tests.count") -> list[int]:
    ran: list[int] = []

    @job(every_s=every_s, name=name, jobs=jobs)
    async def count(c: object) -> None:
        ran.append(1)

    return ran


def schedule(shop: Workshop, jobs: Jobs, holder: str = "first") -> Schedule:
    return Schedule(shop, jobs, holder)  # type: ignore[arg-type]  # not a container


def test_a_job_runs_at_once_and_then_when_it_is_due(shop: Workshop) -> None:
    jobs = Jobs()
    ran = counting(jobs, 60)

    async def story() -> None:
        leader = schedule(shop, jobs)
        assert await leader.tick() == ["tests.count"]
        await leader.idle()
        for _ in range(5):
            shop.advance(10)
            assert await leader.tick() == []
        shop.advance(10)
        assert await leader.tick() == ["tests.count"]
        await leader.idle()
        assert len(ran) == 2
        shop.advance(LEASE_S)
        assert await schedule(shop, jobs, "restarted").tick() == [], "the time of the last run outlives the process"

    run(story())


def test_the_lease_is_handed_over_when_it_lapses(shop: Workshop) -> None:
    jobs = Jobs()
    ran = counting(jobs, 1)

    async def story() -> None:
        first, second = schedule(shop, jobs, "first"), schedule(shop, jobs, "second")
        await first.tick()
        await first.idle()
        await second.tick()
        assert (first.is_leader, second.is_leader) == (True, False)
        shop.advance(LEASE_S - 1)
        await second.tick()
        assert not second.is_leader
        shop.advance(1)  # the first one has died
        await second.tick()
        await second.idle()
        assert second.is_leader
        await first.tick()
        assert not first.is_leader, "it comes back too late"
        assert len(ran) == 2

    run(story())


def test_a_leader_that_renews_keeps_the_lease(shop: Workshop) -> None:
    jobs = Jobs()

    async def story() -> None:
        first, second = schedule(shop, jobs, "first"), schedule(shop, jobs, "second")
        for _ in range(10):
            await first.tick()
            await second.tick()
            shop.advance(LEASE_S - 1)
        assert (first.is_leader, second.is_leader) == (True, False)

    run(story())


def test_two_that_ask_at_once_do_not_both_lead(shop: Workshop) -> None:
    async def story() -> None:
        all_of_them = [schedule(shop, Jobs(), f"holder {number}") for number in range(4)]
        await asyncio.gather(*(one.tick() for one in all_of_them))
        assert sum(one.is_leader for one in all_of_them) == 1

    run(story())


def test_a_clean_end_releases_the_lease(shop: Workshop) -> None:
    async def story() -> None:
        first = schedule(shop, Jobs(), "first")
        task = asyncio.ensure_future(first.run())
        await until(lambda: first.is_leader)
        task.cancel()
        await asyncio.wait({task})
        second = schedule(shop, Jobs(), "second")
        await second.tick()
        assert second.is_leader

    run(story())


def test_a_failed_job_is_due_again_soon_and_ends_no_other(shop: Workshop) -> None:
    jobs = Jobs()
    tried: list[int] = []

    @job(every_s=86_400, name="tests.fail", jobs=jobs)
    async def fail(c: object) -> None:
        tried.append(1)
        raise OSError("away")

    ran = counting(jobs, 86_400)

    async def story() -> None:
        leader = schedule(shop, jobs)
        await leader.tick()
        await leader.idle()
        shop.advance(RETRY_S)
        assert await leader.tick() == ["tests.fail"]
        await leader.idle()

    run(story())
    assert (len(tried), len(ran)) == (2, 1)


def test_a_job_that_runs_is_not_started_again(shop: Workshop) -> None:
    jobs = Jobs()
    began: list[int] = []
    gate = asyncio.Event()

    @job(every_s=1, name="tests.long", jobs=jobs)
    async def long(c: object) -> None:
        began.append(1)
        await gate.wait()

    async def story() -> None:
        leader = schedule(shop, jobs)
        assert await leader.tick() == ["tests.long"]
        shop.advance(5)
        assert await leader.tick() == []
        gate.set()
        await leader.idle()

    run(story())
    assert len(began) == 1


def test_whoever_loses_the_lease_stops_its_jobs(shop: Workshop) -> None:
    jobs = Jobs()
    ended: list[str] = []

    @job(every_s=1, name="tests.long", jobs=jobs)
    async def long(c: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def story() -> None:
        first = schedule(shop, jobs, "first")
        await first.tick()
        shop.advance(LEASE_S)
        second = schedule(shop, Jobs(), "second")
        await second.tick()
        await first.tick()

    run(story())
    assert ended == ["cancelled"]


def test_declarations_are_checked() -> None:
    jobs = Jobs()
    counting(jobs, 1)
    with pytest.raises(ValueError, match="twice"):
        counting(jobs, 1)
    with pytest.raises(ValueError, match="positive"):
        counting(jobs, 0, "tests.never")
    with pytest.raises(TypeError, match="coroutine"):
        job(every_s=1, jobs=jobs)(lambda _: None)  # type: ignore[arg-type,return-value]  # the point of the test
    with pytest.raises(TypeError, match="unexpected keyword"):
        job(each=1)  # type: ignore[call-arg]  # the point of the test


def test_the_kernels_jobs_run(shop: Workshop) -> None:
    assert {"jobs.ensure_partitions", "jobs.forget_deliveries", "jobs.drop_outbox"} <= {one.name for one in load_jobs()}
    shop.record(Happened())

    async def story() -> None:
        await kernel.ensure_partitions(shop)  # type: ignore[arg-type]  # not a container
        await kernel.forget_deliveries(shop)  # type: ignore[arg-type]  # not a container
        await kernel.drop_outbox(shop)  # type: ignore[arg-type]  # not a container

    run(story())
    assert shop.read("SELECT count(*) AS n FROM outbox") == [{"n": 1}]
    assert shop.clock.now() - START < timedelta(days=1)
