"""What attendance amounts to: statuses, minutes, scores and the figures of a class, clipped to the class's time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from edurise.live import figures, queries
from edurise.live.permissions import Live
from tests.harness.classroom import Classroom
from tests.harness.world import World

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def row(**values: Any) -> dict[str, Any]:
    """Somebody who was there for 30 of the 40 minutes that the class has run, and is there."""
    plain = {
        "marked_status": None,
        "started_at": NOON,
        "ended_at": None,
        "first_at": NOON + timedelta(minutes=10),
        "attended_s": 1800.0,
        "is_present": True,
        "questions_asked": 0,
    }
    return plain | values


LATER = NOON + timedelta(minutes=40)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "present"),
        ({"first_at": NOON + timedelta(minutes=10, microseconds=1)}, "late"),
        ({"first_at": None, "attended_s": 0.0}, "absent"),
        ({"first_at": None, "attended_s": 0.0, "is_present": False}, "absent"),
        ({"is_present": False}, "present"),
        ({"is_present": False, "attended_s": 1199.0}, "partial"),
        ({"is_present": False, "attended_s": 1200.0}, "present"),
        ({"attended_s": 60.0}, "present"),  # not decided while they are there
        ({"attended_s": 60.0, "ended_at": LATER}, "partial"),
        ({"attended_s": 60.0, "ended_at": LATER, "first_at": NOON + timedelta(minutes=30)}, "partial"),
        ({"attended_s": 1500.0, "ended_at": LATER, "first_at": NOON + timedelta(minutes=15)}, "late"),
        ({"marked_status": "absent"}, "absent"),
        ({"marked_status": "late", "first_at": None}, "late"),
        ({"started_at": None, "first_at": None}, "present"),
        ({"started_at": None, "first_at": None, "is_present": False}, "absent"),
    ],
)
def test_a_status(values: dict[str, Any], expected: str) -> None:
    assert figures.status(row(**values), LATER) == expected


@pytest.mark.parametrize(
    ("values", "score", "minutes"),
    [
        ({}, 75, 30),
        ({"attended_s": 59.9}, 2, 0),
        ({"attended_s": 0.0}, 0, 0),
        ({"attended_s": 2400.5}, 100, 40),
        ({"ended_at": NOON + timedelta(minutes=30)}, 100, 30),
        ({"started_at": None, "attended_s": 0.0}, 0, 0),
        ({"ended_at": NOON, "attended_s": 0.0}, 0, 0),
    ],
)
def test_a_score_and_minutes(values: dict[str, Any], score: int, minutes: int) -> None:
    assert (figures.score(row(**values), LATER), figures.minutes(row(**values))) == (score, minutes)


def test_the_figures_of_a_class_follow_their_formulas() -> None:
    rows = [
        row(questions_asked=3),
        row(first_at=NOON + timedelta(minutes=20), attended_s=1200.0),
        row(is_present=False, attended_s=600.0),
        row(first_at=None, attended_s=0.0),
    ]
    found = figures.metrics(rows, 5, LATER)
    assert found == {
        "total_students": 5,
        "attendance_rate": 60.0,
        "average_duration": 20.0,
        "engagement_score": round(0.5 * 60 + 0.3 * 50 + 0.2 * 100 / 3, 1),
        "status_breakdown": {"present": 1, "late": 1, "partial": 1, "absent": 2},
        "participation_stats": {"active_participants": 1, "total_questions": 3, "average_participation": 50.0},
    }


def test_figures_of_nobody_are_zero() -> None:
    found = figures.metrics([], 0, LATER)
    assert (found["attendance_rate"], found["engagement_score"], found["average_duration"]) == (0, 0, 0)
    assert found["participation_stats"]["average_participation"] == 0


def test_only_time_within_the_class_counts(world: World) -> None:
    room = Classroom(world, starts_in=timedelta(minutes=10))
    early, gone, late = room.learner(), room.learner(), room.learner()
    first, socket = room.join(early).interval_id, uuid4()
    room.join(gone, socket)
    room.closed(socket)
    room.wait(600, beating=[first], sweeping=False)
    assert (room.row(early)["duration_minutes"], room.row(early)["participation_score"]) == (0, 0)
    room.start()
    room.wait(700, beating=[first])
    second = room.join(late).interval_id
    room.wait(500, beating=[first, second])
    shown = {one: room.row(one) for one in (early, late)}
    assert [(one["status"], one["duration_minutes"], one["participation_score"]) for one in shown.values()] == [
        ("present", 20, 100),
        ("late", 8, 42),
    ]
    assert room.row(gone)["status"] == "absent", "they left before it began"
    room.end()
    world.clock.advance(timedelta(seconds=25))
    assert room.beat(first, second) == [first, second]
    room.wait(3600, sweeping=False)
    final = {one["student"]["id"]: one for one in room.dashboard()["attendance"]}
    assert [final[one.id]["status"] for one in (early, gone, late)] == ["present", "absent", "partial"]
    assert [final[one.id]["duration_minutes"] for one in (early, gone, late)] == [20, 0, 8]
    assert final[early.id]["join_time"] < final[late.id]["join_time"]


def test_a_first_join_counts_from_the_start_for_who_waited_and_came_back_late(world: World) -> None:
    """Who looked in before the class and came twenty minutes after its start is late."""
    room = Classroom(world)
    pupil, socket = room.learner(), uuid4()
    room.join(pupil, socket)
    room.leave(pupil, socket)
    room.wait(60)
    room.start()
    room.wait(1200)
    room.join(pupil)
    assert room.row(pupil)["status"] == "late"


def test_a_pause_of_thirty_seconds_counts_and_a_longer_one_does_not(world: World) -> None:
    room = Classroom(world)
    room.start()
    pupil, sockets = room.learner(), [uuid4() for _ in range(3)]
    room.join(pupil, sockets[0])
    for number, pause in enumerate((30, 31)):
        world.clock.advance(timedelta(seconds=30))
        room.closed(sockets[number])
        world.clock.advance(timedelta(seconds=pause))
        room.join(pupil, sockets[number + 1])
    world.clock.advance(timedelta(seconds=29))
    assert room.row(pupil)["participation_score"] == round(100 * (30 + 30 + 30 + 29) / 150)
    assert len(room.intervals(pupil)) == 2


def test_a_mark_counts_whatever_was_measured_and_what_was_measured_stays(world: World) -> None:
    room = Classroom(world)
    room.start()
    came, away = room.learner(), room.learner()
    interval = room.join(came).interval_id
    room.wait(120, beating=[interval])
    marked = room.mark(came, "absent")
    assert (marked["status"], marked["duration_minutes"], marked["student"]["email"]) == ("absent", 2, came.email)
    assert (room.mark(away, "present")["status"], room.mark(away, "partial")["status"]) == ("present", "partial")
    assert room.dashboard()["metrics"]["status_breakdown"] == {"present": 0, "late": 0, "partial": 1, "absent": 1}
    told = [one for event in room.events("attendance_update", desk=True) for one in event.data["attendance"]]
    assert [one["status"] for one in told if one["student"]["id"] == str(away.id)] == ["present", "partial"]
    room.end()
    assert room.row(came)["status"] == "absent"
    assert room.row(away)["status"] == "partial", "the end inserts nothing for who has a row"


def test_the_dashboard_and_its_figures_count_learners_and_not_staff(world: World) -> None:
    room = Classroom(world)
    room.start()
    pupil, _ = room.learner(), room.learner()
    joined = room.join(room.teacher)
    assert joined.participants == 1
    room.join(pupil)
    shown = room.dashboard()
    assert [one["student"]["id"] for one in shown["attendance"]] == [pupil.id]
    assert shown["metrics"]["total_students"] == 2
    assert shown["metrics"]["attendance_rate"] == 50.0
    room.end()
    room.sweep()
    assert len(room.dashboard()["attendance"]) == 2
    assert room.dashboard()["metrics"]["status_breakdown"]["absent"] == 1


def test_the_figures_are_told_when_they_changed_and_every_ten_seconds_at_the_most(world: World) -> None:
    room = Classroom(world)
    room.start()
    pupil = room.learner()
    interval = room.join(pupil).interval_id
    for _ in range(25):
        room.wait(1, beating=[interval], sweeping=True)
        if not _ % 3:
            room.mark(pupil, "late")
    told = room.events("engagement_update", desk=True)
    assert 2 <= len(told) <= 3
    timeless = ("total_students", "attendance_rate", "engagement_score", "status_breakdown", "participation_stats")
    shown = room.dashboard()["metrics"]
    assert {name: told[-1].data["metrics"][name] for name in timeless} == {name: shown[name] for name in timeless}
    room.wait(30, sweeping=True, beating=[interval])
    quiet = len(room.events("engagement_update", desk=True))
    room.wait(30, sweeping=True, beating=[interval])
    assert len(room.events("engagement_update", desk=True)) == quiet
    assert room.hop(room.teacher, Live.TEACH, queries.live_class)["attendance_count"] == 1
