"""The contract's calls about organizations."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from edurise.tenants import service
from tests.contract import reading
from tests.contract.cases import Case, Sent, complete, page_at_both_levels
from tests.harness.client import Answer
from tests.harness.filing import picture
from tests.harness.world import World

NUMBERS = iter(range(1, 10_000))


def of_platform(body: Callable[[], dict[str, Any]] | None = None, query: str = "") -> Callable[[World], Sent]:
    def sent(world: World) -> Sent:
        school = world.organization()
        teacher = world.person("teacher", school)
        world.course(teacher)
        client = world.of(world.person("admin", platform=True))
        return Sent(client, body() if body else None, school, query)

    return sent


def of_administrator(body: dict[str, Any] | None = None) -> Callable[[World], Sent]:
    def sent(world: World) -> Sent:
        school = world.organization()
        world.course(world.person("teacher", school))
        return Sent(world.of(world.person("admin", school)), body, school)

    return sent


def of_anybody(query: str = "") -> Callable[[World], Sent]:
    def sent(world: World) -> Sent:
        school = world.organization("Harbour")
        teacher = world.person("teacher", school)
        world.course(teacher)
        return Sent(world.anonymous, None, teacher.id, query)

    return sent


def by_subdomain(world: World) -> Sent:
    name = f"contract-{next(NUMBERS)}"

    world.c.db.system_sync(lambda session: service.found(session, name="Contract", subdomain=name))
    return Sent(world.anonymous, None, "", f"?subdomain={name}")


def form() -> dict[str, Any]:
    name = f"new-{next(NUMBERS)}"
    return {"name": "New", "subdomain": name, "subscription_plan": "premium", "primary_color": "#1F4E79"}


def organization(_: Mapping[str, Any], answer: Answer) -> list[str]:
    return complete("Organization", answer.data)


def detail(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    own = {name: kind for name, kind in spec["data"].items() if name not in ("...", "subscription")}
    wrong = reading.faults(own, answer.data) + complete("Organization", answer.data)
    known = answer.data["subscription"]
    return wrong + [
        name for name in ("plan_name", "status", "billing_cycle", "current_period_end") if name not in known
    ]


def every(_: Mapping[str, Any], answer: Answer) -> list[str]:
    wrong = page_at_both_levels(answer)
    return wrong + [fault for one in answer.data["results"] for fault in complete("Organization", one)]


def stats(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    wrong: list[str] = []
    for name, fields in spec["readers"].items():
        if isinstance(fields, dict):
            wrong += [f"{name}: {fault}" for fault in reading.faults(fields, answer.data)]
            wrong += [f"{key}: missing" for key in fields if key not in answer.data]
    return wrong


def bare(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    if not isinstance(answer.data, list) or not answer.data:
        return ["a bare array with something in it"]
    return reading.faults(spec["data"], answer.data)


def items(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    return [fault for one in answer.data for fault in reading.faults(spec["item"], one)]


def branding(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    plan = answer.data["subscription"]["plan"]["name"]
    return reading.faults(spec["data"], answer.data) + ([] if plan in ("basic", "pro", "enterprise") else [plan])


def figures(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    rating = answer.data["avg_rating"]
    return [] if rating is None or isinstance(rating, int | float) else [f"avg_rating {rating!r}"]


def switched(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    return reading.faults(spec["data"], answer.data)


def settings(_: Mapping[str, Any], answer: Answer) -> list[str]:
    return [] if answer.data["allowSelfRegistration"] is False else ["not taken"]


CHOSEN = {"allowSelfRegistration": False, "requireEmailVerification": False, "enableNotifications": True}


def logo() -> str:
    return "data:image/png;base64," + base64.b64encode(picture()).decode()


def furnishing(world: World) -> Sent:
    body = {"name": "Harbour", "subdomain": f"harbour-{next(NUMBERS)}", "description": "By the sea", "logo": logo()}
    return Sent(world.of(world.person("admin", world.organization())), body)


def furnished(_: Mapping[str, Any], answer: Answer) -> list[str]:
    return complete("Organization", answer.data) + ([] if answer.data["logo"] else ["no logo"])


ORGANIZATIONS: dict[str, list[Case]] = {
    "organizations.current_update": [
        Case(furnishing, furnished),
        Case(of_administrator({"name": "Harbour", "description": "", "logo": None}), organization),
    ],
    "organizations.by_subdomain": [Case(by_subdomain, branding)],
    "organizations.list": [
        Case(of_anybody(), every),
        Case(of_anybody("?page=1&page_size=5&is_active=&search="), every),
        Case(of_platform(), every),
    ],
    "organizations.create": [Case(of_platform(form), organization, 201)],
    "organizations.detail": [Case(of_platform(), detail), Case(of_administrator(), detail)],
    "organizations.update": [Case(of_platform(lambda: {"is_active": False}), organization)],
    "organizations.delete": [Case(of_platform(), lambda *_: [])],
    "organizations.stats": [Case(of_platform(), stats), Case(of_administrator(), stats)],
    "organizations.users": [Case(of_platform(), bare), Case(of_administrator(), bare)],
    "organizations.courses": [Case(of_platform(), bare)],
    "organizations.settings_update": [Case(of_administrator(CHOSEN), settings)],
    "organizations.switch": [Case(of_platform(), switched)],
    "organizations.marketplace_summary": [Case(of_anybody(), items)],
    "users.instructor_stats": [Case(of_anybody(), figures)],
}
