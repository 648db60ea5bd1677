"""The contract's calls about passwords and teacher applications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.contract.cases import API, Case, Sent, complete, nothing
from tests.harness.client import Answer
from tests.harness.errands import run_actors
from tests.harness.letters import letters
from tests.harness.world import PASSWORD, World

NEW = "seven quiet lanterns 41"


async def lost(world: World) -> Sent:
    return Sent(world.anonymous, {"email": world.person().email})


async def mailed(world: World) -> Sent:
    person = world.person()
    await world.anonymous.post(f"{API}/accounts/auth/password-reset/", {"email": person.email})
    await run_actors(world, "account_mails.mail_a_reset")
    letter = letters(world, person.email, "Choose a new password")[-1]
    assert letter.link.startswith(f"{world.c.settings.ui_url}/auth/reset-password?token=")
    return Sent(world.anonymous, {"token": letter.token, "password": NEW, "password_confirm": NEW})


def bad_token(world: World) -> Sent:
    return Sent(world.anonymous, {"token": "x" * 48, "password": NEW, "password_confirm": NEW})


def refused(_: Mapping[str, Any], answer: Answer) -> list[str]:
    return [] if answer.code == "MAILED_LINK_INVALID" else [str(answer.code)]


def changing(world: World) -> Sent:
    form = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    return Sent(world.of(world.person()), form)


def deciding(body: dict[str, Any] | None = None) -> Any:
    async def sent(world: World) -> Sent:
        school = world.organization()
        applicant = world.person(tenant_id=school, teaches=True)
        words = {"education": "Physics", "experience": "3-5", "expertise_areas": "Optics", "teaching_philosophy": "Ask"}
        own = (await world.of(applicant).get(f"{API}/teacher-approvals/")).data["results"][0]["id"]
        await world.of(applicant).patch(f"{API}/teacher-approvals/{own}/", words)
        return Sent(world.of(world.person("admin", school)), body, own)

    return sent


def shown(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    wrong = complete("TeacherApproval", answer.data)
    return wrong + [f"{name}: not shown" for name in ("first_name", "last_name", "email") if not answer.data[name]]


def not_offered(_: Mapping[str, Any], answer: Answer) -> list[str]:
    return [] if answer.code == "GOOGLE_NOT_OFFERED" else [str(answer.code)]


def of_google(world: World) -> Sent:
    """Without a client id; tests/security/test_google.py holds the good answer against what the client reads."""
    return Sent(world.anonymous, {"access_token": "ya29.x"})


ACCOUNTS: dict[str, list[Case]] = {
    "auth.google": [Case(of_google, not_offered, 409)],
    "auth.password_reset_request": [Case(lost, nothing)],
    "auth.password_reset_confirm": [Case(mailed, nothing), Case(bad_token, refused, 400)],
    "auth.password_change": [Case(changing, nothing)],
    "approvals.detail": [Case(deciding(), shown)],
    "approvals.reject": [
        Case(deciding({"notes": "Please add your certificates."}), nothing),
        Case(deciding({}), nothing),
    ],
    "approvals.update": [Case(deciding({"status": "approved"}), shown), Case(deciding({"status": "rejected"}), shown)],
}
