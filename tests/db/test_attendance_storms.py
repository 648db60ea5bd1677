"""Crowds and races: everybody is told of exactly once, whoever comes at the same time; and nobody waits for ever."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from edurise.errors import Conflict, DomainError
from edurise.live import service
from edurise.live.permissions import Live
from edurise.ports import ChannelEvent
from tests.harness.classroom import Classroom, Pupil
from tests.harness.world import World

THREADS = 8


def roster(events: list[ChannelEvent]) -> set[str]:
    """Who is in the class by its events alone; asserts that no event says what was known, and that counts agree."""
    inside: set[str] = set()
    for one in events:
        data = one.data
        if one.type == "participant_joined":
            assert data["user_id"] not in inside, "joined twice"
            inside.add(data["user_id"])
            assert data["participant"] == {"id": data["user_id"], "name": data["user_name"]}
        elif one.type == "participant_left":
            inside.remove(data["user_id"])
        elif one.type == "roster_update":
            came, went = ({person["user_id"] for person in data[word]} for word in ("joined", "left"))
            assert not came & inside
            assert went <= inside
            inside = (inside | came) - went
        elif one.type == "class_status_update" and data["status"] == "completed":
            inside.clear()
        if "participants" in data:
            assert data["participants"] == len(inside), one.type
    return inside


def together(*works: Callable[[], Any]) -> list[Any]:
    """Run all at once on threads of their own; what one of them raises is its result."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        barrier.wait(20)
        try:
            return work()
        except DomainError as refused:
            return refused

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def crowd_joins(room: Classroom, pupils: list[Pupil]) -> dict[UUID, UUID]:
    """All of them join from a few threads; returns their sockets."""
    sockets = {one.id: uuid4() for one in pupils}
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda one: room.join(one, sockets[one.id]), pupils))
    return sockets


def tell(room: Classroom) -> int:
    """What the joining processes do while somebody is crowded; returns how often it took."""
    for number in range(1, 50):
        room.world.clock.advance(timedelta(milliseconds=250))
        if not room.serve(service.notice):
            return number
    raise AssertionError("somebody is never told of")


def test_a_storm_of_250_tells_of_everybody_exactly_once(world: World) -> None:
    room = Classroom(world)
    room.start()
    pupils = room.crowd(250)
    sockets = crowd_joins(room, pupils)
    alone = room.events("participant_joined")
    assert len(alone) <= 100
    tell(room)
    everybody = {str(one.id) for one in pupils}
    assert roster(room.events()) == everybody
    assert len(room.events("participant_joined")) == len(alone) == 100
    assert sum(len(told.data["joined"]) for told in room.events("roster_update")) == 150
    assert room.participants() == 250
    names = {one["user_name"] for told in room.events("roster_update") for one in told.data["joined"]}
    assert all(name.startswith("One Of ") for name in names)
    while room.sweep():
        pass
    told = [row["id"] for one in room.events("attendance_update", desk=True) for row in one.data["attendance"]]
    assert len(set(told)) == 250
    # They all go, from one process, and nobody is lost or said to leave twice.
    room.closed(*sockets.values())
    room.wait(29)
    assert roster(room.events()) == everybody
    room.wait(3, sweeping=True)
    assert roster(room.events()) == set()
    assert len(room.events("participant_left")) == 0, "of a crowd together"
    assert room.participants() == 0


def test_a_notice_is_given_once_in_250_ms_by_whichever_process(world: World) -> None:
    room = Classroom(world)
    room.start()
    crowd_joins(room, room.crowd(130))
    world.clock.advance(timedelta(milliseconds=250))
    answers = together(*(lambda: room.serve(service.notice) for _ in range(4)))
    assert len(room.events("roster_update")) == 1
    assert answers.count(False) >= 1
    crowd_joins(room, room.crowd(5))
    assert room.serve(service.notice) is True, "too soon: come again"
    assert len(room.events("roster_update")) == 1
    world.clock.advance(timedelta(milliseconds=250))
    assert room.serve(service.notice) is False
    assert len(roster(room.events())) == 135


def test_what_a_dead_process_did_not_tell_the_sweeper_tells(world: World) -> None:
    room = Classroom(world)
    room.start()
    pupils = room.crowd(120)
    crowd_joins(room, pupils)
    room.wait(1, sweeping=True)
    assert roster(room.events()) == {str(one.id) for one in pupils}


def test_state_is_what_the_events_say_whatever_happens(world: World) -> None:
    """A few hundred random acts from several threads, and after each round both are compared."""
    dice = random.Random(20260301)
    room = Classroom(world)
    room.start()
    pupils = room.crowd(20)
    sockets: dict[UUID, UUID] = {}

    def act(pupil: Pupil) -> None:
        match dice.randrange(6):
            case 0 | 1:
                sockets[pupil.id] = uuid4()
                room.join(pupil, sockets[pupil.id])
            case 2:
                room.leave(pupil, sockets.get(pupil.id, uuid4()))
            case 3:
                room.closed(sockets.get(pupil.id, uuid4()))
            case 4:
                sockets[pupil.id] = uuid4()
                room.resume(pupil, sockets[pupil.id])
            case _:
                room.sweep()

    for _ in range(25):
        chosen = dice.sample(pupils, 6)
        assert [one for one in together(*(lambda one=one: act(one) for one in chosen)) if one is not None] == []
        world.clock.advance(timedelta(seconds=dice.choice([1, 5, 14, 29, 31])))
        room.beat(*(span["id"] for one in pupils for span in room.intervals(one) if span["left_at"] is None))
        room.sweep()
        assert len(roster(room.events())) == room.participants()
        for one in pupils:
            spans = room.intervals(one)
            open_sockets = [span["connection_id"] for span in spans if span["left_at"] is None]
            assert len(open_sockets) == len(set(open_sockets))
    room.end()
    room.wait(40, sweeping=True)
    assert roster(room.events()) == set()
    assert room.participants() == 0


@pytest.mark.parametrize("round_", range(3))
def test_one_person_who_joins_from_two_webs_at_once_is_one_participant(world: World, round_: int) -> None:
    room = Classroom(world)
    room.start()
    pupil = room.learner()
    sockets = [uuid4() for _ in range(4)]
    joined = together(*(lambda socket=socket: room.join(pupil, socket) for socket in sockets))
    assert len({one.interval_id for one in joined}) == 4
    assert len(room.events("participant_joined")) == 1
    assert sorted(one["connection_id"] for one in room.intervals(pupil)) == sorted(sockets)
    same = together(*(lambda: room.join(pupil, sockets[0]) for _ in range(4)))
    assert len({one.interval_id for one in same}) == 1
    assert len(room.intervals(pupil)) == 4
    assert roster(room.events()) == {str(pupil.id)}


@pytest.mark.parametrize("round_", range(4))
def test_a_join_against_the_sweeper_leaves_the_person_in_the_class(world: World, round_: int) -> None:
    """Just as the thirty seconds are over: continued or begun anew, but never joined and not on the roster."""
    room = Classroom(world)
    room.start()
    pupil, socket = room.learner(), uuid4()
    room.join(pupil, socket)
    room.closed(socket)
    world.clock.advance(timedelta(seconds=30 + round_ % 2))
    together(lambda: room.join(pupil), room.sweep, room.sweep)
    room.sweep()
    assert roster(room.events()) == {str(pupil.id)}
    assert room.participants() == 1
    assert [one["left_at"] for one in room.intervals(pupil)][-1] is None


@pytest.mark.parametrize("round_", range(6))
def test_a_join_against_the_end_is_in_the_class_or_refused(world: World, round_: int) -> None:
    """An interval that opens in a class that is over would never end."""
    room = Classroom(world)
    room.start()
    pupils = [room.learner() for _ in range(4)]
    outcomes = together(*(lambda one=one: room.join(one) for one in pupils), room.end)[:-1]
    for pupil, outcome in zip(pupils, outcomes, strict=True):
        if isinstance(outcome, Conflict):
            assert outcome.code == "CLASS_NOT_OPEN"
            assert room.intervals(pupil) == []
        else:
            assert room.intervals(pupil)[0]["joined_at"] <= world.clock.now()
        assert room.row(pupil)["status"] in ("present", "absent")
    events = room.events()
    assert roster(events) == set()
    assert events[-1].data["status"] == "completed", "nobody joins after the end"
    assert len(room.dashboard()["attendance"]) == 4, "a row for each, once"


def test_the_end_waits_for_who_is_joining_a_crowd(world: World) -> None:
    """Joins to a crowd pass each other, but not the end: it would leave somebody in a class that is over.

    Staff that looks in, because the end inserts no row for them that would wait for theirs.
    """
    room = Classroom(world)
    room.start()
    crowd_joins(room, room.crowd(100))
    inside, over = threading.Event(), threading.Event()

    def slowly(*arguments: Any) -> Any:
        joined = service.join(*arguments)
        inside.set()
        assert not over.wait(0.5), "the class ended in the midst of a join"
        return joined

    def end() -> None:
        inside.wait(20)
        room.end()
        over.set()

    joined, _ = together(lambda: room.hop(room.teacher, Live.ATTEND, slowly, uuid4()), end)
    assert joined.crowded
    room.wait(2, sweeping=True)
    assert (roster(room.events()), room.participants()) == (set(), 0)


def test_starts_and_ends_at_once_are_one_start_and_one_end(world: World) -> None:
    room = Classroom(world)
    room.learner()
    shown = together(*(room.start for _ in range(4)))
    assert len({one["started_at"] for one in shown}) == 1
    shown = together(*(room.end for _ in range(4)))
    assert len({one["ended_at"] for one in shown}) == 1
    assert [told.data["status"] for told in room.events("class_status_update")] == ["live", "completed"]
    assert len(room.dashboard()["attendance"]) == 1


def test_marks_against_joins_lose_neither(world: World) -> None:
    room = Classroom(world)
    room.start()
    pupils = [room.learner() for _ in range(4)]
    joins = [lambda one=one: room.join(one) for one in pupils]
    marks = [lambda one=one: room.mark(one, "late") for one in pupils]
    assert [one for one in together(*joins, *marks) if isinstance(one, Exception)] == []
    for one in pupils:
        assert room.row(one)["status"] == "late"
        assert len(room.intervals(one)) == 1
    assert roster(room.events()) == {str(one.id) for one in pupils}


def test_beats_against_sweeps_and_closures_keep_every_interval_whole(world: World) -> None:
    room = Classroom(world)
    room.start()
    pupils = room.crowd(30)
    sockets = crowd_joins(room, pupils)
    intervals = [room.intervals(one)[0]["id"] for one in pupils]
    world.clock.advance(timedelta(seconds=31))
    closing = [sockets[one.id] for one in pupils[:10]]
    found = together(lambda: room.beat(*intervals), room.sweep, lambda: room.closed(*closing), room.sweep)
    assert [one for one in found if isinstance(one, Exception)] == []
    room.beat(*intervals)
    ended = [[one["ended_by"] for one in room.intervals(pupil)] for pupil in pupils]
    assert ended == [["closed"]] * 10 + [[None]] * 20
    room.sweep()
    room.wait(31, beating=intervals, sweeping=True)
    assert roster(room.events()) == {str(one.id) for one in pupils[10:]}


def test_the_statement_of_a_beat_is_one_for_any_number_of_sockets(world: World) -> None:
    room = Classroom(world)
    room.start()
    pupils = room.crowd(12)
    crowd_joins(room, pupils)
    intervals = [room.intervals(one)[0]["id"] for one in pupils]
    sent: list[str] = []
    engine = world.c.db._sys.engine

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        assert room.beat(*intervals, uuid4())[0] not in intervals
        assert room.beat() == []
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len([one for one in sent if one != "BEGIN"]) == 2


def test_a_class_of_another_organization_takes_nobody_by_its_id(world: World) -> None:
    """Every command and read of a class, by somebody of another school and by a learner of another course."""
    room, elsewhere = Classroom(world, public=False), Classroom(world)
    neighbour = world.person("teacher", room.tenant_id)
    other_course = world.course(neighbour)["id"]
    outsiders = [elsewhere.teacher, elsewhere.learner(), neighbour]
    commands: list[tuple[Any, tuple[Any, ...]]] = [
        (service.start, ()),
        (service.end, ()),
        (service.announce, ("hello",)),
        (service.join, (uuid4(),)),
        (service.resume, (uuid4(),)),
        (service.leave, (uuid4(),)),
        (service.ask_question, ("why?",)),
        (service.mark, (room.teacher.id, "present")),
    ]
    assert other_course != room.course_id
    for who in outsiders:
        for command, arguments in commands:
            for needs in (Live.ATTEND, Live.TEACH, Live.READ):
                with pytest.raises(DomainError, match="NOT_FOUND"):
                    room.hop(who, needs, command, *arguments)
            if who is not neighbour:  # even a hop that entered the wrong organization finds nothing
                with pytest.raises(DomainError, match="NOT_FOUND"):
                    world.c.db.run_sync(who.principal.needing(Live.BROWSE), command, room.id, *arguments)
    stranger = elsewhere.learner()
    for who in (stranger, neighbour, room.teacher):
        with pytest.raises(DomainError, match="NOT_FOUND"):
            room.mark(who, "present")
    assert room.events() == []
