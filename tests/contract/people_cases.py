"""The contract's calls about people, profiles and preferences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from tests.contract import reading
from tests.contract.cases import API, Case, Sent, complete, nothing, page_at_both_levels
from tests.harness.client import Answer
from tests.harness.filing import form, picture
from tests.harness.world import World


def on_a_member(body: dict[str, Any] | None = None, query: str = "", role: str = "student") -> Callable[[World], Sent]:
    def sent(world: World) -> Sent:
        school = world.organization()
        member = world.person(role, school)
        filled = None if body is None else {key: _filled(value, member.id) for key, value in body.items()}
        return Sent(world.of(world.person("admin", school)), filled, member.id, query)

    return sent


def _filled(value: Any, member_id: object) -> Any:
    return [str(member_id)] if value == "MEMBER" else value


def inviting(world: World) -> Sent:
    form = {"first_name": "Ada", "last_name": "Byron", "email": f"{uuid4()}@example.org", "role": "teacher"}
    return Sent(world.of(world.person("admin", world.organization())), form)


async def by_application(world: World) -> Sent:
    school = world.organization()
    applicant = world.person(tenant_id=school, teaches=True)
    listed = (await world.of(applicant).get(f"{API}/teacher-approvals/")).data["results"]
    return Sent(world.of(world.person(platform=True)), None, listed[0]["id"])


def approving(world: World) -> Sent:
    school = world.organization()
    applicant = world.person(tenant_id=school, teaches=True)
    return Sent(world.of(world.person(platform=True)), {"is_approved_teacher": True}, applicant.id)


def everybody(world: World) -> Sent:
    world.person("teacher", world.organization())
    return Sent(world.of(world.person(platform=True)))


def own(body: dict[str, Any] | None = None, query: str = "") -> Callable[[World], Sent]:
    def sent(world: World) -> Sent:
        person = world.person("teacher", world.organization())
        return Sent(world.of(person), body, person.id, query)

    return sent


async def with_profile(world: World) -> Sent:
    person = world.person()
    await world.of(person).post(f"{API}/user-profiles/", {"bio": "Ropes"})
    return Sent(world.of(person), {"bio": "Knots"}, person.id)


async def with_history(world: World) -> Sent:
    person = world.person()
    await world.of(person).patch(f"{API}/users/me/", {"first_name": "Ada"})
    return Sent(world.of(person), None, "", "?page=1&page_size=5")


def user(_: Mapping[str, Any], answer: Answer) -> list[str]:
    return complete("User", answer.data)


def users(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    rows = answer.data["results"]
    wrong = page_at_both_levels(answer) + [fault for one in rows for fault in reading.faults(spec["item"], one)]
    return wrong + [fault for one in rows for fault in complete("User", one)] + ([] if rows else ["nobody"])


def detail(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    return complete("User", answer.data)


def both_levels(shape: str) -> Callable[[Mapping[str, Any], Answer], list[str]]:
    return lambda _, answer: complete(shape, answer.body) + complete(shape, answer.data)


def sheet(_: Mapping[str, Any], answer: Answer) -> list[str]:
    return [] if "attachment" in answer.headers["Content-Disposition"] and len(answer.content) > 50 else ["no file"]


def one_profile(_: Mapping[str, Any], answer: Answer) -> list[str]:
    return complete("UserProfile", answer.data[0]) if len(answer.data) == 1 else ["element 0 is read"]


def no_profile(_: Mapping[str, Any], answer: Answer) -> list[str]:
    return [] if answer.data == [] else ["an empty array makes the client create one"]


def taught(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    rating = {"average_rating"} if answer.data["average_rating"] is None else set()
    fields = {name: kind for name, kind in spec["data"].items() if name not in ("experience", "avatar", *rating)}
    return reading.faults(fields, answer.data)


def preferences(_: Mapping[str, Any], answer: Answer) -> list[str]:
    names = {"email_notifications", "push_notifications", "marketing_emails", "language", "timezone", "theme"}
    return [] if answer.data.keys() >= names else ["not all keys"]


def acts(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    found = [fault for one in answer.body["results"] for fault in reading.faults(spec["item"], one)]
    return found if answer.body["results"] else ["no act"]


PROFILE = {
    "bio": "",
    "timezone": "Europe/Berlin",
    "language": "en",
    "phone_number": "+49 30 1",
    "date_of_birth": "1990-02-28",
}
TEACHER = {
    "first_name": "Ada",
    "last_name": "Byron",
    "phone": "+44 20 1",
    "title": "Dr",
    "bio": "Ropes",
    "experience": "3-5",
    "expertise": "Knots",
    "education": [
        {"institution": "Harbour", "degree": "B.Sc.", "year": 1999},
        {"institution": "", "degree": "", "year": ""},
    ],
    "social_links": {"website": "https://ada.example", "linkedin": "", "twitter": "", "github": ""},
}


def portrait(world: World) -> Sent:
    raw, media = form(picture(), "me.png", {}, "avatar")
    return Sent(world.of(world.person()), raw=raw, media=media)


def shown(_: Mapping[str, Any], answer: Answer) -> list[str]:
    names = ("avatar_url", "url", "filename", "size", "content_type")
    return [f"{name} at one level only" for name in names if answer.data[name] != answer.body[name]]


BELL = {
    "sound_enabled": False,
    "browser_notifications": True,
    "email_notifications": False,
    "quiet_hours_enabled": True,
    "quiet_hours_start": "21:30",
    "quiet_hours_end": "06:00",
    "categories": dict.fromkeys(
        ("assignment", "grade", "live_class", "course", "system", "announcement", "reminder"), True
    ),
}
COMPOSABLE = (
    *("email_notifications", "push_notifications", "course_enrollment_notifications", "class_reminder_notifications"),
    *("assignment_due_notifications", "payment_notifications", "system_notifications"),
)


def told_how(_: Mapping[str, Any], answer: Answer) -> list[str]:
    names = (*BELL, *COMPOSABLE)
    return [
        f"{name} at one level only"
        for name in names
        if answer.data.get(name) is None or answer.data[name] != answer.body[name]
    ]


PEOPLE: dict[str, list[Case]] = {
    "notifications.preferences": [Case(own(), told_how)],
    "notifications.preferences_update": [
        Case(own(BELL), told_how),
        Case(own({"payment_notifications": False}), told_how),
    ],
    "profiles.upload_avatar": [Case(portrait, shown)],
    "users.list": [
        Case(on_a_member(), users),
        Case(on_a_member(query="?is_teacher=&search=&ordering=-date_joined"), users),
        Case(on_a_member(query="?is_teacher=true&is_approved_teacher=true", role="teacher"), users),
    ],
    "users.create": [Case(inviting, user, 201)],
    "users.detail": [Case(on_a_member(), detail), Case(by_application, detail)],
    "users.update": [
        Case(on_a_member({"first_name": "Ada", "last_name": "Byron", "role": "teacher", "is_active": True}), user),
        Case(on_a_member({"is_active": False}), user),
        Case(approving, user),
    ],
    "users.delete": [Case(on_a_member(), nothing)],
    "users.all_with_roles": [Case(everybody, users)],
    "users.me_update": [Case(own({"first_name": "Ada"}), both_levels("User"))],
    "users.activate": [Case(on_a_member(), user)],
    "users.deactivate": [Case(on_a_member(), user)],
    "users.promote_teacher": [Case(on_a_member(), user)],
    "users.promote_admin": [Case(on_a_member(), user)],
    "users.demote": [Case(on_a_member(role="teacher"), user)],
    "users.bulk_update": [Case(on_a_member({"user_ids": "MEMBER", "updates": {"is_active": False}}), nothing)],
    "users.bulk_delete": [Case(on_a_member({"user_ids": "MEMBER"}), nothing)],
    "users.export": [
        Case(on_a_member(query="?format=csv"), sheet),
        Case(on_a_member(query="?format=xlsx"), sheet),
    ],
    "me.preferences": [Case(own(), preferences)],
    "me.preferences_update": [
        Case(own({"email_notifications": False, "theme": "dark", "language": "de", "timezone": "UTC"}), preferences)
    ],
    "me.activity": [Case(with_history, acts)],
    "profiles.list": [Case(with_profile, one_profile), Case(own(), no_profile)],
    "profiles.create": [Case(own(PROFILE), both_levels("UserProfile"), 201)],
    "profiles.update": [Case(with_profile, both_levels("UserProfile"))],
    "profiles.me": [Case(own(), taught)],
    "profiles.me_update": [Case(own(TEACHER), nothing)],
}
