"""The attendance rule, step by step: what opens, continues and ends an interval, and what the roster says."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from edurise.errors import Conflict
from tests.harness.classroom import Classroom
from tests.harness.world import World


@pytest.fixture
def room(world: World) -> Classroom:
    """A class that has just begun."""
    found = Classroom(world)
    found.start()
    return found


def now(room: Classroom) -> datetime:
    return room.world.clock.now()


def after(room: Classroom, seconds: float) -> datetime:
    room.world.clock.advance(timedelta(seconds=seconds))
    return now(room)


def spans(room: Classroom, who: object, since: datetime) -> list[tuple[float, float | None, str | None]]:
    """The intervals in seconds since a moment: joined, left, how it ended."""
    return [
        (
            (one["joined_at"] - since).total_seconds(),
            None if one["left_at"] is None else (one["left_at"] - since).total_seconds(),
            one["ended_by"],
        )
        for one in room.intervals(who)
    ]


def test_a_join_opens_and_a_closed_socket_ends(room: Classroom) -> None:
    pupil, began, socket = room.learner(), now(room), uuid4()
    joined = room.join(pupil, socket)
    assert (joined.class_id, joined.tenant_id, joined.participants, joined.crowded) == (
        room.id,
        room.tenant_id,
        1,
        False,
    )
    assert joined.attendance["student"]["id"] == pupil.id
    assert (joined.attendance["status"], joined.attendance["leave_time"]) == ("present", None)
    assert spans(room, pupil, began) == [(0, None, None)]
    after(room, 20)
    room.closed(socket)
    room.closed(socket, at=after(room, 5))  # stored twice, as after a lost answer: the first counts
    assert spans(room, pupil, began) == [(0, 20, "closed")]
    assert room.row(pupil)["leave_time"] == began + timedelta(seconds=20)


def test_joining_again_on_one_socket_is_one_join(room: Classroom) -> None:
    pupil, socket = room.learner(), uuid4()
    first = room.join(pupil, socket)
    after(room, 3)
    again = room.join(pupil, socket)
    assert (again.interval_id, again.participants, again.crowded) == (first.interval_id, 1, False)
    assert len(room.intervals(pupil)) == 1
    assert len(room.events("participant_joined")) == 1


@pytest.mark.parametrize(("pause", "continues"), [(0, True), (29, True), (30, True), (31, False)])
@pytest.mark.parametrize("by", ["left", "closed"])
def test_a_join_within_thirty_seconds_of_the_end_goes_on(room: Classroom, pause: int, continues: bool, by: str) -> None:
    pupil, began, one, two = room.learner(), now(room), uuid4(), uuid4()
    first = room.join(pupil, one)
    after(room, 100)
    assert room.leave(pupil, one) if by == "left" else room.closed(one) is None
    after(room, pause)
    second = room.join(pupil, two)
    assert (second.interval_id == first.interval_id) is continues
    if continues:
        assert spans(room, pupil, began) == [(0, None, None)]
        assert room.intervals(pupil)[0]["connection_id"] == two
    else:
        assert spans(room, pupil, began) == [(0, 100, by), (100 + pause, None, None)]
    room.closed(one)  # late: the first socket holds nothing any more
    assert spans(room, pupil, began)[-1][1:] == (None, None)


def test_the_roster_lets_go_only_after_thirty_seconds(room: Classroom) -> None:
    pupil, socket = room.learner(), uuid4()
    room.join(pupil, socket)
    room.leave(pupil, socket)
    room.wait(30, sweeping=True)
    assert (room.participants(), room.events("participant_left")) == (1, [])
    room.wait(1, sweeping=True)
    left = room.events("participant_left")
    assert [event.data["user_id"] for event in left] == [str(pupil.id)]
    assert (left[0].data["participants"], room.participants()) == (0, 0)
    room.wait(3, sweeping=True)
    assert len(room.events("participant_left")) == 1


def test_who_comes_back_in_time_is_never_said_to_have_left(room: Classroom) -> None:
    pupil, one, two = room.learner(), uuid4(), uuid4()
    room.join(pupil, one)
    room.closed(one)
    room.wait(29, sweeping=True)
    again = room.join(pupil, two)
    room.wait(60, beating=[again.interval_id], sweeping=True)
    assert [event.type for event in room.events("participant_joined", "participant_left")] == ["participant_joined"]
    assert room.participants() == 1


def test_after_a_crash_an_interval_ends_at_its_last_beat(room: Classroom) -> None:
    pupil, began = room.learner(), now(room)
    joined = room.join(pupil)
    room.wait(40, beating=[joined.interval_id])  # then its process is killed
    room.wait(30, sweeping=True)
    assert spans(room, pupil, began) == [(0, None, None)]
    room.wait(1, sweeping=True)
    assert spans(room, pupil, began) == [(0, 40, "lost")]
    assert len(room.events("participant_left")) == 1, "thirty seconds have passed since that beat"
    assert room.row(pupil)["duration_minutes"] == 0


def test_a_beat_goes_on_with_what_a_sweeper_took_for_lost_and_with_nothing_else(room: Classroom) -> None:
    lost, left, closed = (room.learner() for _ in range(3))
    began, sockets = now(room), [uuid4() for _ in range(3)]
    intervals = [room.join(who, socket).interval_id for who, socket in zip((lost, left, closed), sockets, strict=True)]
    room.leave(left, sockets[1])
    room.closed(sockets[2])
    room.wait(45, sweeping=True)  # the database did not hear of any beat
    assert spans(room, lost, began) == [(0, 0, "lost")]
    assert room.beat(*intervals) == intervals[1:]
    assert spans(room, lost, began) == [(0, None, None)]
    assert (spans(room, left, began), spans(room, closed, began)) == ([(0, 0, "left")], [(0, 0, "closed")])
    assert room.participants() == 0
    room.wait(1, beating=intervals[:1], sweeping=True)
    assert room.participants() == 1, "who was said to have left is back"
    assert room.events()[-1].type == "participant_joined"
    assert room.row(lost)["leave_time"] is None


def test_a_socket_that_was_given_up_may_say_when_it_closed_and_that_it_left(room: Classroom) -> None:
    one, two = room.learner(), room.learner()
    began, sockets = now(room), (uuid4(), uuid4())
    room.join(one, sockets[0])
    room.join(two, sockets[1])
    room.wait(40, sweeping=True)
    room.closed(sockets[0], at=began + timedelta(seconds=33))
    assert spans(room, one, began) == [(0, 33, "closed")]
    assert room.leave(two, sockets[1]) is not None
    assert spans(room, two, began) == [(0, 40, "left")]


def test_a_join_on_the_very_socket_that_was_given_up_goes_on(room: Classroom) -> None:
    pupil, socket, began = room.learner(), uuid4(), now(room)
    first = room.join(pupil, socket)
    room.wait(120, sweeping=True)
    assert spans(room, pupil, began) == [(0, 0, "lost")]
    assert room.join(pupil, socket).interval_id == first.interval_id
    assert room.beat(first.interval_id) == []
    assert len(room.intervals(pupil)) == 1


def test_leaving_is_leaving_with_every_socket(room: Classroom) -> None:
    pupil, one, two = room.learner(), uuid4(), uuid4()
    intervals = [room.join(pupil, socket).interval_id for socket in (one, two)]
    assert len(set(intervals)) == 2
    assert room.leave(pupil, one) is not None
    assert [one["ended_by"] for one in room.intervals(pupil)] == ["left", "left"]
    assert room.beat(*intervals) == intervals
    assert room.leave(pupil, two) is None


def test_two_sockets_count_once(room: Classroom) -> None:
    pupil, one, two = room.learner(), uuid4(), uuid4()
    first = room.join(pupil, one)
    room.wait(300, beating=[first.interval_id])
    second = room.join(pupil, two)
    room.wait(300, beating=[first.interval_id, second.interval_id])
    room.closed(one)
    room.wait(300, beating=[second.interval_id], sweeping=True)
    assert room.participants() == 1
    assert (room.row(pupil)["duration_minutes"], room.row(pupil)["participation_score"]) == (15, 100)
    room.closed(two)
    room.wait(31, sweeping=True)
    assert room.participants() == 0
    assert room.row(pupil)["duration_minutes"] == 15


# -- a door that is opened again -------------------------------------------------------------------------------------


def test_a_reconnect_goes_on_after_a_closed_socket_but_not_after_leaving(room: Classroom) -> None:
    closed, left, never = room.learner(), room.learner(), room.learner()
    began, sockets = now(room), (uuid4(), uuid4())
    first = room.join(closed, sockets[0])
    room.join(left, sockets[1])
    room.closed(sockets[0])
    room.leave(left, sockets[1])
    after(room, 30)
    again = room.resume(closed)
    assert again is not None
    assert again.interval_id == first.interval_id
    assert spans(room, closed, began) == [(0, None, None)]
    assert room.resume(left) is None
    assert room.resume(never) is None
    assert room.intervals(never) == []


def test_a_reconnect_that_comes_too_late_opens_nothing(room: Classroom) -> None:
    pupil, socket = room.learner(), uuid4()
    room.join(pupil, socket)
    room.closed(socket)
    after(room, 31)
    assert room.resume(pupil) is None
    assert len(room.intervals(pupil)) == 1


def test_a_reconnect_takes_over_from_a_crashed_process(room: Classroom) -> None:
    """Before the sweeper came; and after it, within thirty seconds of the last beat it would be too early for it."""
    pupil, began = room.learner(), now(room)
    first = room.join(pupil)
    after(room, 16)
    again = room.resume(pupil)
    assert again is not None
    assert again.interval_id == first.interval_id
    assert spans(room, pupil, began) == [(0, None, None)]


def test_a_reconnect_right_after_a_crash_or_on_another_network_loses_no_second(room: Classroom) -> None:
    """The old socket still looks alive, so the new one has an interval of its own. Once it is known that the old one was
    lost, both are the one interval that a join within 30 s of its end goes on with."""
    pupil, began = room.learner(), now(room)
    first = room.join(pupil)
    room.wait(60, beating=[first.interval_id])
    after(room, 9)  # killed just before its next beat
    second = room.resume(pupil)
    assert second is not None
    assert second.interval_id != first.interval_id
    room.wait(51, beating=[second.interval_id], sweeping=True)
    assert spans(room, pupil, began) == [(0, None, None)]
    assert room.row(pupil)["duration_minutes"] == 2
    room.wait(10, beating=[second.interval_id])
    assert room.leave(pupil, uuid4()) is not None
    assert spans(room, pupil, began) == [(0, 130, "left")]


def test_a_lost_tab_ends_by_itself_where_another_one_was_open_long_before(room: Classroom) -> None:
    pupil, began = room.learner(), now(room)
    first = room.join(pupil)
    room.wait(10, beating=[first.interval_id])
    second = room.join(pupil)
    room.wait(40, beating=[second.interval_id, first.interval_id])
    room.wait(40, beating=[second.interval_id], sweeping=True)
    assert spans(room, pupil, began) == [(0, 50, "lost"), (10, None, None)]
    assert room.participants() == 1


def test_a_second_tab_does_not_join_for_a_person_who_has_left(room: Classroom) -> None:
    pupil, socket = room.learner(), uuid4()
    room.join(pupil, socket)
    assert room.resume(pupil) is not None
    room.leave(pupil, socket)
    assert room.resume(pupil) is None


# -- when a class is open ----------------------------------------------------------------------------------------------


def test_a_class_is_joined_from_a_quarter_of_an_hour_before_its_time_until_its_end(world: World) -> None:
    room = Classroom(world, starts_in=timedelta(minutes=15, seconds=1))
    pupil = room.learner()
    for expected in ("CLASS_NOT_OPEN", None):
        if expected:
            with pytest.raises(Conflict, match=expected):
                room.join(pupil)
            assert room.resume(pupil) is None
        else:
            assert room.join(pupil).attendance["status"] == "present"
        after(room, 1)
    room.start()
    room.end()
    with pytest.raises(Conflict, match="CLASS_NOT_OPEN"):
        room.join(pupil)
    assert room.resume(pupil) is None


def test_the_end_of_a_class_ends_what_is_open_and_says_so_once(room: Classroom) -> None:
    alive, dead, gone, absent = (room.learner() for _ in range(4))
    began, socket = now(room), uuid4()
    living, dying = room.join(alive).interval_id, room.join(dead).interval_id
    room.join(gone, socket)
    room.wait(600, beating=[living, dying])
    room.closed(socket)
    room.wait(1800, beating=[living, dying])
    room.wait(15, beating=[living])  # the process of ``dead`` was killed five seconds after its last beat
    room.end()
    ended = now(room)
    assert room.beat(living) == [living], "its process heard of the end"
    room.wait(40, sweeping=True)
    assert spans(room, alive, began) == [(0, 2415, "class_ended")]
    assert spans(room, dead, began) == [(0, 2400, "lost")]
    assert spans(room, gone, began) == [(0, 600, "closed")]
    told = {row["student"]["id"]: row for row in room.dashboard()["attendance"]}
    assert {str(who.id): told[who.id]["status"] for who in (alive, dead, gone, absent)} == {
        str(alive.id): "present",
        str(dead.id): "present",
        str(gone.id): "partial",
        str(absent.id): "absent",
    }
    assert [told[who.id]["duration_minutes"] for who in (alive, dead, gone, absent)] == [40, 40, 10, 0]
    assert told[alive.id]["leave_time"] == ended
    assert (room.participants(), room.events("participant_left")) == (0, []), "the end itself says so"
    assert room.events()[-1].data["status"] == "completed"
    assert room.events()[-1].data["previous"] == "live"
    assert not room.sweep()


def test_a_beat_and_a_closure_that_come_long_after_the_end_change_nothing_within_the_class(room: Classroom) -> None:
    """The sweeper was faster; the socket was open all the time, so the interval lasts until the class's end."""
    one, two, began, sockets = room.learner(), room.learner(), now(room), (uuid4(), uuid4())
    interval = room.join(one, sockets[0]).interval_id
    room.join(two, sockets[1])
    after(room, 20)
    room.end()
    room.wait(60, sweeping=True)
    assert spans(room, one, began) == [(0, 0, "lost")]
    assert room.beat(interval) == [interval]
    room.closed(sockets[1])
    assert spans(room, one, began) == [(0, 20, "class_ended")]
    assert spans(room, two, began) == [(0, 20, "class_ended")]
    assert room.participants() == 0
    room.sweep()
    assert room.events("participant_joined")[-1].offset < room.events("class_status_update")[-1].offset
