"""The reference client's contract, driven by its own files: path, aliases, method, envelope, fields and types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from edurise.ai.ports import Usage
from handlers.app import ALIASES, ROUTES
from handlers.routing import RouteTable
from tests.contract import reading
from tests.contract.account_cases import ACCOUNTS
from tests.contract.cases import API, Case, Sent, both, complete, in_data, nothing, of_shape, page_at_both_levels
from tests.contract.file_cases import FILES
from tests.contract.organization_cases import ORGANIZATIONS
from tests.contract.people_cases import PEOPLE
from tests.contract.privacy_cases import PRIVACY
from tests.harness.classroom import Classroom
from tests.harness.client import Answer
from tests.harness.talks import Talk
from tests.harness.world import PASSWORD, World

# -- accounts and organizations ----------------------------------------------------------------------------------------


def login(world: World) -> Sent:
    return Sent(world.anonymous, {"email": world.person().email, "password": PASSWORD})


def register(world: World) -> Sent:
    form = {
        "email": f"{uuid4()}@example.org",
        "password": PASSWORD,
        "password_confirm": PASSWORD,
        "first_name": "Ada",
        "last_name": "Byron",
        "is_teacher": True,
    }
    return Sent(world.anonymous, form)


def logout(world: World) -> Sent:
    person = world.person()
    return Sent(world.of(person), {"refresh_token": person.refresh})


def refresh(world: World) -> Sent:
    return Sent(world.anonymous, {"refresh": world.person().refresh})


def own_tenants(world: World) -> Sent:
    return Sent(world.of(world.person()))


def switch(world: World) -> Sent:
    person = world.person(tenant_id=world.organization())
    return Sent(world.of(person), {"tenant_id": str(person.tenant_id)})


def approvals(world: World) -> Sent:
    school = world.organization()
    world.person(tenant_id=school, teaches=True)
    return Sent(world.of(world.person("admin", school)))


def own_approvals(world: World) -> Sent:
    return Sent(world.of(world.person(teaches=True)))


async def approval(world: World) -> Sent:
    school = world.organization()
    world.person(tenant_id=school, teaches=True)
    client = world.of(world.person("admin", school))
    listed = await client.get(f"{API}/teacher-approvals/")
    return Sent(client, None, listed.data[0]["id"])


def approvals_array(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    found = [fault for one in answer.data for fault in complete("TeacherApproval", one)]
    return found if len(answer.data) == 1 else ["staff see an array of all"]


def approvals_page(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    if set(answer.data) != {"count", "next", "previous", "results"}:
        return ["an applicant reads results[0]"]
    return complete("TeacherApproval", answer.data["results"][0])


# -- courses -----------------------------------------------------------------------------------------------------------

FORM = {
    "title": "Knots",
    "description": "Bowline to Zeppelin",
    "category": "technology",
    "difficulty_level": "beginner",
    "tags": ["rope"],
    "price": 19.99,
    "duration_weeks": 3,
    "max_students": 20,
    "is_public": True,
}


def created(world: World) -> Sent:
    return Sent(world.of(world.person("teacher", world.organization())), dict(FORM))


def changed(world: World) -> Sent:
    teacher = world.person("teacher", world.organization())
    return Sent(world.of(teacher), {"status": "published"}, world.course(teacher, is_public=False)["id"])


def of_course(world: World, query: str = "", **values: Any) -> Sent:
    """A course with a module, asked for by nobody."""
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher, price=10, **values)
    module = world.module(teacher, course["id"])
    world.lesson(
        teacher, module["id"], type="quiz", questions=[{"question": "?", "options": ["a", "b"], "correct_answer": 1}]
    )
    query = query.replace("INSTRUCTOR", str(teacher.id)).replace("COURSE", str(course["id"]))
    return Sent(world.anonymous, None, course["id"], query)


def own_courses(world: World) -> Sent:
    teacher = world.person("admin", world.organization())
    world.course(teacher, is_public=False)
    return Sent(world.of(teacher))


def item_of(name: str, *also: str) -> Callable[[Any], list[str]]:
    spec = reading.calls()["courses.list"]["response"]
    specs = [spec[name], *(spec[one] for one in also)]
    return lambda value: [fault for one in specs for fault in reading.faults(one, value, "course")]


def courses_page(_: Mapping[str, Any], answer: Answer) -> list[str]:
    wrong = page_at_both_levels(answer) + [fault for one in answer.data["results"] for fault in item_of("item")(one)]
    return wrong if answer.data["count"] == 1 else [*wrong, f"{answer.data['count']} courses"]


def courses_array(_: Mapping[str, Any], answer: Answer) -> list[str]:
    check = item_of("item", "item, admin lists also")
    found = [fault for one in answer.data for fault in check(one)]
    return found if isinstance(answer.data, list) and answer.data else ["data must be a bare array"]


def market(_: Mapping[str, Any], answer: Answer) -> list[str]:
    names = set(answer.data) ^ {"count", "next", "previous", "results"}
    return [fault for one in answer.data["results"] for fault in item_of("item")(one)] + sorted(names)


def new_module(world: World) -> Sent:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher)
    form = {"course": str(course["id"]), "title": "One", "content": "<p>Rope</p>", "order": 2, "is_published": True}
    return Sent(world.of(teacher), form | {"video_url": "https://v.example/1", "materials": ["https://m.example/1"]})


def learner_modules(world: World) -> Sent:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher)
    world.lesson(teacher, world.module(teacher, course["id"])["id"])
    return Sent(world.of(teacher), None, "", f"?course={course['id']}")


def modules(item: str) -> Callable[[Mapping[str, Any], Answer], list[str]]:
    def check(spec: Mapping[str, Any], answer: Answer) -> list[str]:
        wrong = page_at_both_levels(answer)
        wrong += reading.faults([spec[item]], answer.data["results"])
        return wrong if answer.data["results"] else ["no module"]

    return check


# -- learning and money ------------------------------------------------------------------------------------------------


def enrolling(world: World) -> Sent:
    teacher = world.person("teacher", world.organization())
    return Sent(world.of(world.person()), {"payment_id": str(uuid4())}, world.course(teacher)["id"])


async def enrolled(world: World) -> Sent:
    sent = enrolling(world)
    await sent.client.post(f"{API}/courses/{sent.id}/enroll/")
    return Sent(sent.client)


def enrolled_array(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    return [fault for one in answer.data for fault in complete("Course", one)] + ([] if answer.data else ["no course"])


def buying(world: World) -> Sent:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher, price=10)
    form = {"course_id": str(course["id"]), "amount": 0.01, "payment_method": "stripe", "currency": "usd"}
    return Sent(world.of(world.person()), form)


async def confirming(world: World) -> Sent:
    sent = buying(world)
    made = await sent.client.post(f"{API}/payments/create_course_payment/", sent.body)
    return Sent(sent.client, None, made.data["payment_id"])


def dialog(world: World) -> Sent:
    form = {"course": str(uuid4()), "payment_method": "stripe", "stripeToken": "x", "cardNumber": "4242424242424242"}
    return Sent(world.of(world.person()), form | {"expiryDate": "12/30", "cvc": "123", "cardholderName": "A B"})


def refusal(_: Mapping[str, Any], answer: Answer) -> list[str]:
    return [] if answer.code == "CARD_DATA_REFUSED" and "4242" not in answer.content.decode() else ["card data"]


def notified(world: World) -> Sent:
    person = world.person()
    return Sent(world.of(person), None, world.notification(person), "?page=1&page_size=20&type=&is_read=false")


def notifications(_: Mapping[str, Any], answer: Answer) -> list[str]:
    wrong = page_at_both_levels(answer) + [
        fault for one in answer.data["results"] for fault in complete("Notification", one)
    ]
    return wrong if answer.data["count"] == 1 else [*wrong, "one notification"]


# -- the tutor ---------------------------------------------------------------------------------------------------------


def talked(world: World) -> Sent:
    talk = Talk(world, world.person())
    talk.answered()
    return Sent(world.of(talk.person), None, talk.id)


def conversing(world: World) -> Sent:
    context = {"source": "landing_widget", "user_agent": "Mozilla/5.0", "course_id": None}
    return Sent(world.of(world.person()), {"title": "AI Chat", "conversation_type": "general", "context": context})


def asking(world: World) -> Sent:
    talk = Talk(world, world.person())
    world.c.tasks.spawn(talk.answer_soon(usage=Usage(20, 10)))
    return Sent(world.of(talk.person), {"message": "Why?", "context": {"page": "/courses"}}, talk.id)


def bare_array(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    return reading.faults(spec["data"], answer.data) + ([] if answer.data else ["nothing is listed"])


def messages_array(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    roles = [one["role"] for one in answer.data]
    return bare_array(spec, answer) + ([] if roles == ["user", "assistant"] else [f"not oldest first: {roles}"])


# -- live classes ------------------------------------------------------------------------------------------------------


def scheduling(name: str) -> Callable[[World], Sent]:
    """A class as the teacher's page sends it, and as the scheduler does."""

    def sent(world: World) -> Sent:
        teacher = world.person("teacher", world.organization())
        form = {name: str(world.course(teacher)["id"]), "title": "Knots", "description": "Live"}
        return Sent(world.of(teacher), form | {"scheduled_at": "2026-03-02T09:00:00.000Z", "duration_minutes": "60"})

    return sent


def classroom(world: World) -> Sent:
    room = Classroom(world)
    return Sent(world.of(room.teacher), None, room.id)


def running(world: World) -> Sent:
    room = Classroom(world)
    room.start()
    return Sent(world.of(room.teacher), None, room.id)


def class_list(who: str) -> Callable[[World], Sent]:
    def sent(world: World) -> Sent:
        room = Classroom(world)
        room.start()
        pupil = room.learner()
        room.join(pupil)
        if who == "anonymous":
            return Sent(world.anonymous, None, "", f"?course={room.course_id}")
        return Sent(world.of(pupil if who == "learner" else room.teacher))

    return sent


def classes(*beyond: str, links: bool = True) -> Callable[[Mapping[str, Any], Answer], list[str]]:
    """The page of classes, with the fields that only this reader takes, and with links or without."""

    def check(spec: Mapping[str, Any], answer: Answer) -> list[str]:
        wrong = page_at_both_levels(answer)
        for one in answer.data["results"]:
            hidden = () if links else ("join_url",)
            item = {name: kind for name, kind in spec["item"].items() if name not in hidden}
            wrong += reading.faults(item, one, "class") + reading.faults(reading.shape("LiveClass"), one, "LiveClass")
            wrong += [f"{name}: missing" for name in beyond if name not in one]
            wrong += [] if links else [f"{name}: shown" for name in ("join_url", "start_url", "password") if one[name]]
        return wrong if answer.data["count"] == 1 else [*wrong, f"{answer.data['count']} classes"]

    return check


def attended(world: World) -> Sent:
    room = Classroom(world)
    room.start()
    room.join(room.learner())
    return Sent(world.of(room.teacher), None, "", f"?live_class_id={room.id}")


def marking(world: World) -> Sent:
    room = Classroom(world)
    form = {"live_class_id": str(room.id), "student_id": str(room.learner().id), "status": "partial"}
    return Sent(world.of(room.teacher), form)


def attendance_rows(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    found = reading.faults(spec["data"], answer.data) + page_at_both_levels(answer)
    return found + [fault for one in answer.data["results"] for fault in complete("ClassAttendance", one)]


CASES: dict[str, list[Case]] = {
    "ai.conversations_list": [Case(talked, bare_array)],
    "ai.conversations_create": [Case(conversing, in_data, 201)],
    "ai.conversations_retrieve": [Case(talked, in_data)],
    "ai.messages": [Case(talked, messages_array)],
    "ai.send_message": [Case(asking, in_data)],
    "auth.login": [Case(login, both)],
    "auth.register": [Case(register, both, 201)],
    "auth.logout": [Case(logout, nothing)],
    "auth.token_refresh": [Case(refresh, both)],
    "tenants.mine": [Case(own_tenants, lambda spec, answer: reading.faults([spec["item"]], answer.data))],
    "tenants.switch": [Case(switch, both)],
    "users.me": [Case(own_tenants, lambda _, answer: complete("User", answer.body) + complete("User", answer.data))],
    "approvals.list": [Case(approvals, approvals_array), Case(own_approvals, approvals_page)],
    "approvals.approve": [Case(approval, nothing)],
    "courses.create": [Case(created, of_shape("Course"), 201)],
    "courses.update": [Case(changed, of_shape("Course"))],
    "courses.list": [
        Case(lambda world: of_course(world, "?search=&ordering=-created_at&instructor=INSTRUCTOR"), courses_page),
        Case(lambda world: of_course(world, "?page=1&page_size=12&instructor=INSTRUCTOR&tenant="), courses_page),
        Case(lambda world: of_course(world, "?instructor=INSTRUCTOR"), courses_array),
        Case(own_courses, courses_array),
    ],
    "courses.marketplace": [Case(lambda world: of_course(world, "?instructor=INSTRUCTOR&search="), market)],
    "courses.retrieve": [Case(of_course, in_data)],
    "courses.enrolled_courses": [Case(enrolled, enrolled_array)],
    "modules.create": [Case(new_module, of_shape("CourseModule"), 201)],
    "modules.list": [
        Case(lambda world: of_course(world, "?course=COURSE"), modules("item of the course page")),
        Case(learner_modules, modules("item of the learning page")),
    ],
    "enrollments.enroll": [Case(enrolling, of_shape("Enrollment"), 201)],
    "payments.create": [Case(dialog, refusal, 400)],
    "payments.create_course_payment": [Case(buying, in_data, 201)],
    "payments.confirm": [Case(confirming, of_shape("Payment"))],
    "notifications.list": [Case(notified, notifications)],
    "notifications.mark_read": [Case(notified, of_shape("Notification"))],
    "live_classes.list": [
        Case(class_list("anonymous"), classes(links=False)),
        Case(class_list("learner"), classes("attended", "attendance_duration")),
        Case(class_list("teacher"), classes("enrolled_students", "attendance_count")),
    ],
    "live_classes.retrieve": [Case(classroom, in_data)],
    "live_classes.create": [
        Case(scheduling("course_id"), of_shape("LiveClass"), 201),
        Case(scheduling("course"), of_shape("LiveClass"), 201),
    ],
    "live_classes.start": [Case(classroom, of_shape("LiveClass"))],
    "live_classes.end": [Case(running, of_shape("LiveClass"))],
    "attendance.list": [Case(attended, attendance_rows)],
    "attendance.mark": [Case(marking, of_shape("ClassAttendance"))],
    **ACCOUNTS,
    **ORGANIZATIONS,
    **FILES,
    **PEOPLE,
    **PRIVACY,
}


def every_way() -> list[Any]:
    """(call, case, path) for the canonical path and each alias."""
    found = []
    for name, cases in CASES.items():
        call = reading.calls()[name]
        for number, case in enumerate(cases):
            paths = (call["path"], *call.get("aliases", ()))
            found += [pytest.param(call, case, API + path, id=f"{name}-{number}{path}") for path in paths]
    return found


def with_fields(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer's fields; modules.list hides them one level deeper."""
    response: Mapping[str, Any] = call["response"]
    return {**response, **(response.get("readers") if isinstance(response.get("readers"), dict) else {})}


@pytest.mark.gen_test
@pytest.mark.parametrize(("call", "case", "path"), every_way())
async def test_a_call(world: World, call: dict[str, Any], case: Case, path: str) -> None:
    made = case.make(world)
    sent: Sent = await made if hasattr(made, "__await__") else made
    target = path.replace("{id}", str(sent.id)) + ("" if call["method"] == "POST" else sent.query)
    body = sent.body if sent.body is not None else ({} if call["method"] in ("POST", "PATCH", "PUT") else None)
    if sent.raw is not None:
        answer = await sent.client.call(call["method"], target, raw=sent.raw, headers={"Content-Type": sent.media})
    else:
        answer = await sent.client.call(call["method"], target, body)
    assert answer.status == case.status, answer.content
    assert case.check(with_fields(call), answer) == []


def test_every_path_and_alias_of_these_calls_is_served_by_one_handler() -> None:
    table = RouteTable(ROUTES, ALIASES)
    for name in CASES:
        call = reading.calls()[name]
        paths = [API + path.replace("{id}", str(uuid4())) for path in (call["path"], *call.get("aliases", ()))]
        routes = [table.find(call["method"], path) for path in paths]
        assert all(routes), f"{name}: {paths}"
        handlers = {(found[0].handler, found[0].verb(call["method"])) for found in routes if found}
        assert len(handlers) == 1, name


@pytest.mark.gen_test
async def test_an_error_stands_at_the_top_level(world: World) -> None:
    refused = await world.anonymous.post(f"{API}/accounts/auth/login/", {"email": "x", "password": ""})
    assert refused.status == 400
    assert reading.faults(reading.shape("Error"), refused.body, "error") == []
    assert refused.body["errors"].keys() == {"email", "password"}
    wrong = await world.anonymous.post(
        f"{API}/accounts/auth/login/", {"email": "x@example.org", "password": "nobody's"}
    )
    assert wrong.body["message"]


@pytest.mark.gen_test
async def test_a_status_or_is_public_alone_publishes_and_a_number_is_a_number(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher, is_public=False, price=Decimal("19.99"))
    for body, public in (({"is_public": True}, True), ({"status": "draft"}, False), ({"status": "approved"}, True)):
        answer = await world.of(teacher).patch(f"{API}/courses/{course['id']}/", body)
        assert answer.data["is_public"] is public
        assert answer.data["price"] == 19.99
