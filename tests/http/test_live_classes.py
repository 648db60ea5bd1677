"""Live classes over HTTP: scheduling, lists, starting, ending, attendance; bad input; who may."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.harness.classroom import Classroom
from tests.harness.counting import statements
from tests.harness.world import Someone, World
from tests.security.scene import row_counts

API = "/api/v1"
CLASSES, ATTENDANCE = f"{API}/live-classes/", f"{API}/attendance/"
LINKS = ("join_url", "start_url", "password")


def form(course_id: UUID, **values: Any) -> dict[str, Any]:
    plain = {"course_id": str(course_id), "title": "Knots, live", "scheduled_at": "2026-03-02T09:00:00Z"}
    return plain | {"duration_minutes": 45} | values


class Place:
    """A school in Berlin with a course, its teacher and one learner."""

    def __init__(self, world: World) -> None:
        self.school = world.organization()
        world.c.db.system_sync(
            lambda session: (
                session.execute(
                    text("UPDATE organizations SET timezone = 'Europe/Berlin' WHERE id = :id"), {"id": self.school}
                )
                and None
            )
        )
        self.teacher = world.person("teacher", self.school)
        self.course: UUID = world.course(self.teacher)["id"]
        self.as_teacher = world.of(self.teacher)

    async def learner(self, world: World) -> Someone:
        person = world.person()
        assert (await world.of(person).post(f"{API}/courses/{self.course}/enroll/")).status == 201
        return person


@pytest.fixture
def place(world: World) -> Place:
    return Place(world)


@pytest.mark.gen_test
async def test_a_class_is_scheduled_and_read(world: World, place: Place) -> None:
    made = await place.as_teacher.post(CLASSES, form(place.course, description="Bowline\nand sheet bend"))
    assert made.status == 201, made.content
    shown = made.data
    assert (shown["status"], shown["duration_minutes"], shown["title"]) == ("scheduled", 45, "Knots, live")
    assert shown["course"] == shown["course_id"] == str(place.course)
    assert shown["instructor"] == {"id": str(place.teacher.id), "full_name": shown["instructor_name"]}
    assert shown["scheduled_at"] == "2026-03-02T09:00:00Z"
    assert shown["join_url"] == f"{world.c.settings.ui_url.rstrip('/')}/live-classes/{shown['id']}"
    assert (shown["started_at"], shown["start_url"], shown["recording_url"]) == (None, None, None)
    again = await place.as_teacher.get(f"{CLASSES}{shown['id']}/")
    assert again.data == shown
    own_link = await place.as_teacher.post(CLASSES, form(place.course, join_url="https://meet.example.org/1"))
    assert own_link.data["join_url"] == "https://meet.example.org/1"


@pytest.mark.gen_test
async def test_a_time_without_a_zone_is_a_local_time_of_the_organization(place: Place) -> None:
    for given, meant in (
        ("2026-01-02T09:30", "2026-01-02T08:30:00Z"),
        ("2026-07-02T09:30:15", "2026-07-02T07:30:15Z"),
        ("2026-07-02T09:30:00+05:30", "2026-07-02T04:00:00Z"),
        ("2026-10-25T02:30", "2026-10-25T00:30:00Z"),  # it comes twice: the first one
    ):
        made = await place.as_teacher.post(CLASSES, form(place.course, scheduled_at=given))
        assert (made.status, made.data["scheduled_at"]) == (201, meant)


@pytest.mark.gen_test
async def test_the_course_has_two_names_and_the_minutes_two_forms(place: Place) -> None:
    body = form(place.course, duration_minutes="90")
    other = {**body, "course": body["course_id"]}
    del other["course_id"]
    for status, one in ((201, body), (200, other)):
        made = await place.as_teacher.post(CLASSES, one)
        assert (made.status, made.data["duration_minutes"], made.data["course_id"]) == (status, 90, str(place.course))


@pytest.mark.gen_test
async def test_an_idempotency_key_makes_one_class(world: World, place: Place) -> None:
    client = world.of(place.teacher, Idempotency_Key="class-1")
    first = await client.post(CLASSES, form(place.course))
    again = await client.post(CLASSES, form(place.course))
    assert (first.status, again.status, again.data) == (201, 200, first.data)
    other = await client.post(CLASSES, form(place.course, title="Splices"))
    assert (other.status, other.code) == (409, "IDEMPOTENCY_KEY_REUSED")
    colleague = world.of(world.person("admin", place.school), Idempotency_Key="class-1")
    assert (await colleague.post(CLASSES, form(place.course))).status == 201


@pytest.mark.gen_test
async def test_a_repeated_request_makes_one_class_and_another_time_another(world: World, place: Place) -> None:
    first, again = await asyncio.gather(*(place.as_teacher.post(CLASSES, form(place.course)) for _ in range(2)))
    assert {first.status, again.status} == {200, 201}
    assert first.data["id"] == again.data["id"]
    later = await place.as_teacher.post(CLASSES, form(place.course, scheduled_at="2026-03-03T09:00:00Z"))
    assert (later.status, later.data["id"] != first.data["id"]) == (201, True)
    colleague = world.of(world.person("admin", place.school))
    assert (await colleague.post(CLASSES, form(place.course))).status == 201


BAD: list[tuple[dict[str, Any], str]] = [
    ({"title": ""}, "title"),
    ({"title": None}, "title"),
    ({"title": "x" * 201}, "title"),
    ({"title": "a\x00b"}, "title"),
    ({"description": 5}, "description"),
    ({"scheduled_at": "tomorrow"}, "scheduled_at"),
    ({"scheduled_at": "2026-02-30T10:00"}, "scheduled_at"),
    ({"scheduled_at": "2026-03-02"}, "scheduled_at"),
    ({"scheduled_at": 1767225600}, "scheduled_at"),
    ({"duration_minutes": 0}, "duration_minutes"),
    ({"duration_minutes": 1441}, "duration_minutes"),
    ({"duration_minutes": 45.5}, "duration_minutes"),
    ({"duration_minutes": "45.5"}, "duration_minutes"),
    ({"duration_minutes": "-5"}, "duration_minutes"),
    ({"duration_minutes": "٤٥"}, "duration_minutes"),
    ({"duration_minutes": "9" * 5000}, "duration_minutes"),
    ({"duration_minutes": True}, "duration_minutes"),
    ({"join_url": "javascript:alert(1)"}, "join_url"),
    ({"status": "live"}, "status"),
    ({"course": "COURSE"}, "course_id"),
    ({"course_id": None}, "course_id"),
    ({"course_id": "undefined"}, "course_id"),
]


@pytest.mark.gen_test
@pytest.mark.parametrize(("values", "field"), BAD, ids=lambda one: str(one)[:40])
async def test_bad_input_is_refused_by_its_field_and_leaves_nothing(
    world: World, place: Place, values: dict[str, Any], field: str
) -> None:
    before = row_counts(world)
    sent = {name: str(place.course) if value == "COURSE" else value for name, value in values.items()}
    refused = await place.as_teacher.post(CLASSES, form(place.course) | sent)
    assert (refused.status, refused.code) == (400, "VALIDATION_ERROR")
    assert field in refused.body["errors"]
    assert row_counts(world) == before


@pytest.mark.gen_test
async def test_a_class_without_a_course_and_one_of_no_course(place: Place) -> None:
    body = form(place.course)
    del body["course_id"]
    assert "course_id" in (await place.as_teacher.post(CLASSES, body)).body["errors"]
    assert (await place.as_teacher.post(CLASSES, form(uuid4()))).status == 404


@pytest.mark.gen_test
async def test_a_class_is_started_and_ended_once(world: World, place: Place) -> None:
    pupil = await place.learner(world)
    made = (await place.as_teacher.post(CLASSES, form(place.course))).data
    start, end = f"{CLASSES}{made['id']}/start_class/", f"{CLASSES}{made['id']}/end_class/"
    early = await place.as_teacher.post(end)
    assert (early.status, early.code) == (409, "CLASS_NOT_STARTED")
    begun = await place.as_teacher.post(start)
    assert (begun.status, begun.data["status"], begun.data["join_url"]) == (200, "live", made["join_url"])
    world.clock.advance(timedelta(minutes=1))
    assert (await place.as_teacher.post(start)).data == begun.data
    over = await place.as_teacher.post(end, {})
    assert (over.status, over.data["status"]) == (200, "completed")
    assert (await place.as_teacher.post(end)).data == over.data
    again = await place.as_teacher.post(start)
    assert (again.status, again.code) == (409, "CLASS_OVER")
    listed = await place.as_teacher.get(f"{ATTENDANCE}?live_class_id={made['id']}")
    assert [(row["student"]["id"], row["status"]) for row in listed.data["results"]] == [(str(pupil.id), "absent")]
    assert (await place.as_teacher.post(start, {"at": "now"})).status == 400


# -- lists -------------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_course_s_classes_are_anybody_s_and_their_links_are_not(world: World, place: Place) -> None:
    pupil = await place.learner(world)
    made = (await place.as_teacher.post(CLASSES, form(place.course))).data
    path = f"{CLASSES}?course={place.course}"
    for client in (world.anonymous, world.of(world.person()), world.of(world.person(tenant_id=place.school))):
        shown = (await client.get(path)).data["results"]
        assert [one["id"] for one in shown] == [made["id"]]
        assert [shown[0][name] for name in LINKS] == [None] * 3
        assert not {"attendance_count", "attended"} & shown[0].keys()
        if client.headers.get("Authorization"):
            alone = await client.get(f"{CLASSES}{made['id']}/")
            assert (alone.status, alone.data["join_url"]) == (200, None)
    administrator = world.person("admin", place.school)
    for who in (pupil, place.teacher, administrator):
        for answer in (await world.of(who).get(path), await world.of(who).get(f"{path}&status=scheduled&page=1")):
            assert answer.data["results"][0]["join_url"] == made["join_url"]
    assert (await world.of(pupil).get(path)).data["results"][0]["attended"] is False
    assert (await place.as_teacher.get(path)).data["results"][0]["attendance_count"] == 0
    assert (await world.anonymous.get(f"{CLASSES}{made['id']}/")).status == 401


@pytest.mark.gen_test
async def test_a_draft_s_classes_do_not_exist_for_others(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher, is_public=False)["id"]
    made = (await world.of(teacher).post(CLASSES, form(course))).data
    for client in (world.anonymous, world.of(world.person())):
        assert (await client.get(f"{CLASSES}?course={course}")).status == 404
    stranger = world.of(world.person())
    for answer in (
        await stranger.get(f"{CLASSES}{made['id']}/"),
        await stranger.post(f"{CLASSES}{made['id']}/start_class/"),
        await stranger.post(f"{CLASSES}{made['id']}/end_class/"),
        await stranger.get(f"{ATTENDANCE}?live_class_id={made['id']}"),
        await stranger.post(
            f"{ATTENDANCE}mark_attendance/",
            {"live_class_id": made["id"], "student_id": str(uuid4()), "status": "present"},
        ),
        await stranger.post(CLASSES, form(course)),
    ):
        assert answer.status == 404
    assert (await world.of(teacher).get(f"{CLASSES}?course={course}")).data["count"] == 1


@pytest.mark.gen_test
async def test_one_s_own_classes_come_from_every_organization(world: World) -> None:
    pupil, rooms = world.person(), [Classroom(world) for _ in range(3)]
    for room in rooms[:2]:
        await world.of(pupil).post(f"{API}/courses/{room.course_id}/enroll/")
    mine = (await world.of(pupil).get(CLASSES)).data
    assert {one["id"] for one in mine["results"]} == {str(room.id) for room in rooms[:2]}
    assert all(one["join_url"] and one["attended"] is False and one["course_title"] for one in mine["results"])
    taught = (await world.of(rooms[0].teacher).get(CLASSES)).data
    assert [one["id"] for one in taught["results"]] == [str(rooms[0].id)]
    assert taught["results"][0]["enrolled_students"] >= 0
    assert (await world.of(world.person()).get(CLASSES)).data["results"] == []
    assert (await world.anonymous.get(CLASSES)).data == {"count": 0, "next": None, "previous": None, "results": []}
    rooms[0].start()
    assert [one["id"] for one in (await world.of(pupil).get(f"{CLASSES}?status=live")).data["results"]] == [
        str(rooms[0].id)
    ]


@pytest.mark.gen_test
async def test_an_administrator_s_own_class_of_another_s_course_is_in_both_lists(world: World, place: Place) -> None:
    administrator = world.person("admin", place.school)
    made = (await world.of(administrator).post(CLASSES, form(place.course))).data
    for who in (administrator, place.teacher):
        listed = (await world.of(who).get(CLASSES)).data["results"]
        assert [(one["id"], one["join_url"]) for one in listed] == [(made["id"], made["join_url"])]


@pytest.mark.gen_test
async def test_lists_are_paged_ordered_and_refuse_what_they_do_not_know(place: Place) -> None:
    for number in range(5):
        await place.as_teacher.post(
            CLASSES, form(place.course, title=f"Class {number}", scheduled_at=f"2026-03-0{9 - number}T09:00:00Z")
        )
    for path in (f"{CLASSES}?course={place.course}", f"{CLASSES}?course="):
        for ordering, expected in (("", "01234"), ("&ordering=scheduled_at", "43210"), ("&ordering=-title", "43210")):
            listed = (await place.as_teacher.get(path + ordering)).data["results"]
            assert "".join(one["title"][-1] for one in listed) == expected
        page = (await place.as_teacher.get(f"{path}&page=2&page_size=2&ordering=title")).data
        assert ([one["title"] for one in page["results"]], page["count"]) == (["Class 2", "Class 3"], 5)
        assert "page=3" in page["next"]
        for wrong in ("ordering=join_url", "status=begun", "page=0"):
            assert (await place.as_teacher.get(f"{path}&{wrong}")).status == 400
    assert (await place.as_teacher.get(f"{CLASSES}?course=undefined")).status == 400


@pytest.mark.gen_test
async def test_lists_ask_the_same_number_of_questions_for_any_number_of_rows(world: World, place: Place) -> None:
    pupil = await place.learner(world)
    room = Classroom(world)
    room.start()
    counts: dict[str, list[int]] = {}
    for _ in range(3):
        await place.as_teacher.post(CLASSES, form(place.course))
        room.learner()
        for one in [room.learner() for _ in range(2)]:
            room.join(one)
        for who, path in (
            (pupil, CLASSES),
            (pupil, f"{CLASSES}?course={place.course}"),
            (place.teacher, CLASSES),
            (room.teacher, f"{ATTENDANCE}?live_class_id={room.id}"),
        ):
            client = world.of(who)
            with statements(world) as sent:
                answer = await client.get(path)
            assert answer.status == 200
            counts.setdefault(f"{who.id} {path}", []).append(len(sent))
        world.clock.advance(timedelta(seconds=1))
    assert all(len(set(found)) == 1 and found[0] <= 6 for found in counts.values()), counts


# -- attendance --------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_attendance_is_for_staff_and_shows_who_came(world: World) -> None:
    room = Classroom(world)
    room.start()
    pupils = [room.learner() for _ in range(3)]
    for one in pupils:
        room.join(one)
    teacher = world.of(room.teacher)
    path = f"{ATTENDANCE}?live_class_id={room.id}"
    listed = (await teacher.get(path)).data
    assert listed["count"] == 3
    assert [row["student"]["email"] for row in listed["results"]] == [one.email for one in pupils]
    assert {(row["status"], row["live_class"], row["leave_time"]) for row in listed["results"]} == {
        ("present", str(room.id), None)
    }
    page = (await teacher.get(f"{path}&page=2&page_size=2")).data
    assert [row["student"]["email"] for row in page["results"]] == [pupils[2].email]
    assert (await world.of(pupils[0]).get(path)).status == 403
    assert (await teacher.get(ATTENDANCE)).status == 400
    assert (await teacher.get(f"{ATTENDANCE}?live_class_id={uuid4()}")).status == 404


@pytest.mark.gen_test
async def test_a_mark_answers_with_the_whole_row_and_is_audited(world: World) -> None:
    room = Classroom(world)
    pupil = room.learner()
    teacher = world.of(room.teacher)
    body = {"live_class_id": str(room.id), "student_id": str(pupil.id), "status": "late"}
    answer = await teacher.post(f"{ATTENDANCE}mark_attendance/", body)
    assert (answer.status, answer.data["status"], answer.data["duration_minutes"]) == (200, "late", 0)
    assert answer.data["student"]["id"] == str(pupil.id)
    again = await teacher.post(f"{ATTENDANCE}mark_attendance/", body | {"status": "present"})
    assert again.data["id"] == answer.data["id"]
    question = text("SELECT details FROM audit_log WHERE action = 'attendance.marked' AND object_id = :id ORDER BY id")
    found = world.c.db.system_sync(lambda session: list(session.scalars(question, {"id": room.id})))
    assert [(one["status"], one["previous"]) for one in found] == [("late", None), ("present", "late")]
    for wrong in ({"status": "asleep"}, {"student_id": "x"}, {"status": None}, {"participation_score": 5}):
        assert (await teacher.post(f"{ATTENDANCE}mark_attendance/", body | wrong)).status == 400
    for nobody in (room.teacher.id, world.person().id, uuid4()):
        refused = await teacher.post(f"{ATTENDANCE}mark_attendance/", body | {"student_id": str(nobody)})
        assert refused.status == 404
    assert (await world.of(pupil).post(f"{ATTENDANCE}mark_attendance/", body)).status == 403


@pytest.mark.gen_test
async def test_a_learner_s_own_list_says_how_long_they_attended(world: World) -> None:
    room = Classroom(world)
    room.start()
    pupil = room.learner()
    interval = room.join(pupil).interval_id
    room.wait(180, beating=[interval])
    shown = (await world.of(pupil).get(f"{CLASSES}{room.id}/")).data
    assert (shown["attended"], shown["attendance_duration"]) == (True, 3)
    room.wait(11, beating=[interval], sweeping=True)
    assert (await world.of(room.teacher).get(f"{CLASSES}{room.id}/")).data["attendance_count"] == 1
