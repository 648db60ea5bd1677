"""Every endpoint by who asks. A route without an entry fails here, so nobody adds one without saying who may."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session

from edurise.identity.models import Person
from handlers.app import ALIASES, ROUTES
from handlers.guards import check_all
from handlers.routing import is_socket, verbs_of
from tests.harness.client import Answer
from tests.harness.world import PASSWORD, Someone, World
from tests.security.account_table import ACCOUNTS
from tests.security.elsewhere_table import ELSEWHERE, elsewhere_scene
from tests.security.entries import ANYBODY, API, ONE_S_OWN, Entry, Scene
from tests.security.file_table import FILES, file_scene
from tests.security.organization_table import ORGANIZATIONS
from tests.security.people_table import PEOPLE
from tests.security.privacy_table import PRIVACY
from tests.security.scene import conversation, invitation, learner, payment, school


def form(**values: Any) -> dict[str, Any]:
    return {"title": "Knots", "category": "technology"} | values


def class_form(course_id: object) -> dict[str, Any]:
    when = {"scheduled_at": "2026-03-02T09:00:00Z", "duration_minutes": 60}
    return {"course_id": str(course_id), "title": "Live", **when}


def mark_form(class_id: object, student: Someone) -> dict[str, Any]:
    return {"live_class_id": str(class_id), "student_id": str(student.id), "status": "late"}


def fresh_account() -> dict[str, Any]:
    names = {"first_name": "Ada", "last_name": "Byron"}
    return {"email": f"{uuid4()}@example.org", "password": PASSWORD, "password_confirm": PASSWORD} | names


def refresh_of(scene: Scene, who: Someone | None) -> dict[str, Any]:
    return {"refresh": (who or scene.learner).refresh}


# A member sees a published course and may not change it (403); of a draft, a stranger may not know (404).
TABLE: dict[str, list[Entry]] = {
    "GET /healthz": [Entry(ANYBODY)],
    "GET /readyz": [Entry(ANYBODY)],
    "GET /metrics": [Entry(ANYBODY)],
    "GET /docs": [Entry(ANYBODY)],
    "GET /docs/": [Entry(ANYBODY)],
    "GET /docs/{name:text}": [Entry(ANYBODY, path=lambda _: "/docs/init.js")],
    f"GET {API}/openapi.json": [Entry(ANYBODY)],
    f"POST {API}/accounts/auth/login/": [
        Entry(ANYBODY, body=lambda scene, who: {"email": (who or scene.learner).email, "password": PASSWORD}),
    ],
    f"POST {API}/accounts/auth/register/": [Entry((201, 201, 201, 201), body=lambda *_: fresh_account())],
    f"POST {API}/accounts/auth/token/refresh/": [Entry(ANYBODY, body=refresh_of)],
    f"POST {API}/accounts/auth/logout/": [Entry((401, 200, 200, 200))],
    f"GET {API}/users/me/": [Entry(ONE_S_OWN)],
    f"GET {API}/users/tenants/": [Entry((401, 200, 200, 200))],
    f"POST {API}/users/switch_tenant/": [
        Entry((401, 200, 403, 200), body=lambda scene, _: {"tenant_id": str(scene.at.id)}),
    ],
    f"GET {API}/teacher-approvals/": [Entry(ONE_S_OWN, right="administrator")],
    f"POST {API}/teacher-approvals/{{id:uuid}}/approve/": [
        Entry((401, 404, 404, 200), "administrator", lambda s: f"{API}/teacher-approvals/{s.at.application}/approve/"),
        Entry((401, 404, 404, 403), "applicant", lambda s: f"{API}/teacher-approvals/{s.at.application}/approve/"),
    ],
    f"GET {API}/courses/": [Entry(ANYBODY)],
    f"POST {API}/courses/": [Entry((401, 403, 403, 201), body=lambda *_: form())],
    f"GET {API}/courses/marketplace/": [Entry(ANYBODY)],
    f"GET {API}/courses/{{id:uuid}}/": [
        Entry(ANYBODY, path=lambda s: f"{API}/courses/{s.at.free}/"),
        Entry((404, 404, 404, 200), path=lambda s: f"{API}/courses/{s.at.draft}/"),
    ],
    f"PATCH {API}/courses/{{id:uuid}}/": [
        Entry((401, 403, 403, 200), path=lambda s: f"{API}/courses/{s.at.free}/"),
        Entry((401, 404, 404, 200), path=lambda s: f"{API}/courses/{s.at.draft}/"),
        Entry((401, 404, 404, 200), "administrator", path=lambda s: f"{API}/courses/{s.at.draft}/"),
    ],
    f"GET {API}/courses/enrolled_courses/": [Entry(ONE_S_OWN)],
    f"POST {API}/courses/{{id:uuid}}/enroll/": [
        Entry((401, 201, 201, 200), "learner", lambda s: f"{API}/courses/{s.at.free}/enroll/"),
        Entry((401, 404, 404, 409), "teacher", lambda s: f"{API}/courses/{s.at.draft}/enroll/"),
        Entry((401, 409, 409, 409), "teacher", lambda s: f"{API}/courses/{s.at.paid}/enroll/"),
    ],
    f"GET {API}/course-modules/": [
        Entry(ANYBODY, path=lambda s: f"{API}/course-modules/?course={s.at.free}"),
        Entry((404, 404, 404, 200), path=lambda s: f"{API}/course-modules/?course={s.at.draft}"),
    ],
    f"POST {API}/course-modules/": [
        Entry((401, 403, 403, 201), body=lambda s, _: {"course": str(s.at.free), "title": "One"}),
        Entry((401, 404, 404, 201), body=lambda s, _: {"course": str(s.at.draft), "title": "One"}),
    ],
    f"GET {API}/course-lessons/": [
        Entry((401, 403, 403, 200), "learner", lambda s: f"{API}/course-lessons/?module={s.at.module}"),
        Entry((401, 404, 404, 200), "teacher", lambda s: f"{API}/course-lessons/?module={s.at.draft_module}"),
    ],
    f"POST {API}/course-lessons/": [
        Entry((401, 403, 403, 201), body=lambda s, _: {"module": str(s.at.module), "title": "One"}),
        Entry((401, 403, 403, 403), "learner", body=lambda s, _: {"module": str(s.at.module), "title": "One"}),
        Entry((401, 404, 404, 201), body=lambda s, _: {"module": str(s.at.draft_module), "title": "One"}),
    ],
    f"GET {API}/course-lessons/{{id:uuid}}/": [
        Entry((401, 404, 404, 200), "learner", lambda s: f"{API}/course-lessons/{s.at.lesson}/"),
        Entry((401, 404, 404, 200), "administrator", lambda s: f"{API}/course-lessons/{s.at.draft_lesson}/"),
    ],
    f"GET {API}/live-classes/": [
        Entry(ANYBODY),
        Entry(ANYBODY, path=lambda s: f"{API}/live-classes/?course={s.at.free}"),
        Entry((404, 404, 404, 200), path=lambda s: f"{API}/live-classes/?course={s.at.draft}"),
    ],
    f"POST {API}/live-classes/": [
        Entry((401, 403, 403, 201), body=lambda s, _: class_form(s.at.free)),
        Entry((401, 403, 403, 403), "learner", body=lambda s, _: class_form(s.at.free)),
        Entry((401, 404, 404, 201), "administrator", body=lambda s, _: class_form(s.at.draft)),
    ],
    f"GET {API}/live-classes/{{id:uuid}}/": [
        Entry((401, 200, 200, 200), "learner", lambda s: f"{API}/live-classes/{s.at.live_class}/"),
        Entry((401, 404, 404, 200), path=lambda s: f"{API}/live-classes/{s.at.draft_class}/"),
    ],
    f"POST {API}/live-classes/{{id:uuid}}/start_class/": [
        Entry((401, 403, 403, 200), path=lambda s: f"{API}/live-classes/{s.at.live_class}/start_class/"),
        Entry((401, 403, 403, 403), "learner", lambda s: f"{API}/live-classes/{s.at.live_class}/start_class/"),
        Entry((401, 404, 404, 200), "administrator", lambda s: f"{API}/live-classes/{s.at.draft_class}/start_class/"),
    ],
    f"POST {API}/live-classes/{{id:uuid}}/end_class/": [
        Entry((401, 403, 403, 200), path=lambda s: f"{API}/live-classes/{s.at.live_class}/end_class/"),
        Entry((401, 403, 403, 403), "learner", lambda s: f"{API}/live-classes/{s.at.live_class}/end_class/"),
        Entry((401, 404, 404, 200), "administrator", lambda s: f"{API}/live-classes/{s.at.draft_class}/end_class/"),
    ],
    f"GET {API}/attendance/": [
        Entry((401, 403, 403, 200), path=lambda s: f"{API}/attendance/?live_class_id={s.at.live_class}"),
        Entry((401, 403, 403, 403), "learner", lambda s: f"{API}/attendance/?live_class_id={s.at.live_class}"),
        Entry((401, 404, 404, 200), path=lambda s: f"{API}/attendance/?live_class_id={s.at.draft_class}"),
    ],
    f"POST {API}/attendance/mark_attendance/": [
        Entry((401, 403, 403, 200), body=lambda s, _: mark_form(s.at.live_class, s.learner)),
        Entry((401, 403, 403, 403), "learner", body=lambda s, _: mark_form(s.at.live_class, s.learner)),
        Entry((401, 404, 404, 404), body=lambda s, _: mark_form(s.at.draft_class, s.learner)),
    ],
    f"POST {API}/payments/": [Entry((401, 409, 409, 409), body=lambda s, _: {"course": str(s.at.paid)})],
    f"POST {API}/payments/create_course_payment/": [
        Entry((401, 201, 201, 201), "learner", body=lambda s, _: {"course_id": str(s.at.paid)}),
        Entry((401, 404, 404, 409), "teacher", body=lambda s, _: {"course_id": str(s.at.draft)}),
    ],
    f"POST {API}/payments/{{id:uuid}}/confirm_payment/": [
        Entry((401, 404, 404, 403), "administrator", lambda s: f"{API}/payments/{s.payment}/confirm_payment/"),
        Entry((401, 404, 404, 200), "learner", lambda s: f"{API}/payments/{s.payment}/confirm_payment/"),
    ],
    # The gateway's signature is the permission, and the sandbox takes no webhook.
    f"POST {API}/webhooks/stripe/": [Entry((404, 404, 404, 404))],
    f"GET {API}/ai-conversations/": [Entry((401, 200, 403, 200), "learner")],
    f"POST {API}/ai-conversations/": [
        Entry((401, 201, 403, 201), "learner"),
        Entry((401, 403, 403, 201), "learner", body=lambda s, _: {"course": str(s.at.free)}),
        Entry((401, 404, 404, 201), "teacher", body=lambda s, _: {"context": {"course_id": str(s.at.draft)}}),
    ],
    f"GET {API}/ai-conversations/{{id:uuid}}/": [
        Entry((401, 404, 404, 200), "learner", lambda s: f"{API}/ai-conversations/{s.conversation}/"),
        Entry((401, 404, 404, 403), "teacher", lambda s: f"{API}/ai-conversations/{s.conversation}/"),
        Entry((401, 404, 404, 403), "administrator", lambda s: f"{API}/ai-conversations/{s.conversation}/"),
    ],
    f"GET {API}/ai-conversations/{{id:uuid}}/messages/": [
        Entry((401, 404, 404, 200), "learner", lambda s: f"{API}/ai-conversations/{s.conversation}/messages/"),
        Entry((401, 404, 404, 403), "administrator", lambda s: f"{API}/ai-conversations/{s.conversation}/messages/"),
    ],
    # Another question of the learner's still waits.
    f"POST {API}/ai-conversations/{{id:uuid}}/send_message/": [
        Entry(
            (401, 404, 404, status),
            right,
            lambda s: f"{API}/ai-conversations/{s.conversation}/send_message/",
            lambda *_: {"message": "Who else asks?"},
        )
        for right, status in (("learner", 409), ("teacher", 403), ("administrator", 403))
    ],
    f"GET {API}/notifications/": [Entry((401, 200, 403, 200), "learner")],
    f"POST {API}/notifications/mark_all_read/": [Entry((401, 200, 403, 200), "learner")],
    f"POST {API}/notifications/{{id:uuid}}/mark_read/": [
        Entry((401, 404, 403, 200), "learner", lambda s: f"{API}/notifications/{s.notification}/mark_read/"),
    ],
    **ACCOUNTS,
    **ORGANIZATIONS,
    **FILES,
    **ELSEWHERE,
    **PEOPLE,
    **PRIVACY,
}


def every_endpoint() -> list[str]:
    table = check_all(ROUTES, ALIASES)
    routes = [route for route in table if not route.is_alias and not is_socket(route.handler)]
    return sorted(f"{verb} {route.template.text}" for route in routes for verb in verbs_of(route.handler))


def test_every_endpoint_has_an_entry() -> None:
    assert sorted(TABLE) == every_endpoint()


async def scene_of(world: World) -> Scene:
    at = school(world)
    somebody = await learner(world, at.free)
    return Scene(
        at=at,
        stranger=world.person("admin", world.organization()),
        learner=somebody,
        payment=await payment(world, somebody, at.paid),
        notification=str(world.notification(somebody)),
        invitation=str(invitation(world, at)),
        conversation=str(conversation(world, somebody, at.free).id),
        **await file_scene(world, at),
        **elsewhere_scene(world, at),
    )


async def ask(world: World, endpoint: str, entry: Entry, scene: Scene, who: Someone | None, **headers: str) -> Answer:
    verb, _, template = endpoint.partition(" ")
    path = entry.path(scene) or template
    client = world.of(who, **headers) if who else world.anonymous
    if entry.raw is not None:
        body, media = entry.raw(scene)
        return await client.call(verb, path, raw=body, headers=media)
    return await client.call(verb, path, entry.body(scene, who) if verb in ("POST", "PATCH", "PUT") else None)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("endpoint", "entry"),
    [
        pytest.param(name, entry, id=f"{name}-{number}")
        for name, listed in TABLE.items()
        for number, entry in enumerate(listed)
    ],
)
async def test_an_endpoint(world: World, endpoint: str, entry: Entry) -> None:
    scene = await scene_of(world)
    right: Someone = scene.learner if entry.right == "learner" else getattr(scene.at, entry.right)
    found = (
        (await ask(world, endpoint, entry, scene, None)).status,
        (await ask(world, endpoint, entry, scene, scene.at.student)).status,
        (await ask(world, endpoint, entry, scene, scene.stranger, X_Tenant_ID=str(scene.at.id))).status,
        (await ask(world, endpoint, entry, scene, right)).status,
    )
    assert found == entry.expected


@pytest.mark.gen_test
async def test_a_person_who_was_switched_off_is_nobody(world: World) -> None:
    person = world.person("admin", world.organization())

    def switch_off(session: Session) -> None:
        session.get_one(Person, person.id).is_active = False

    world.c.db.system_sync(switch_off)
    client = world.of(person)
    for path in ("/users/me/", "/notifications/", "/teacher-approvals/", "/courses/enrolled_courses/"):
        assert (await client.get(API + path)).status == 401, path
    refused = await world.anonymous.post(f"{API}/accounts/auth/token/refresh/", {"refresh": person.refresh})
    assert refused.status == 401
    again = await world.anonymous.post(f"{API}/accounts/auth/login/", {"email": person.email, "password": PASSWORD})
    assert (again.status, again.code) == (400, "INVALID_CREDENTIALS")
