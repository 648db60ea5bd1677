"""The rows of the permission table that are about people, their profiles and invitations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.harness.filing import form, picture
from tests.harness.world import PASSWORD
from tests.security.entries import API, ONE_S_OWN, Entry, Scene

USERS = f"{API}/users"
ONE = f"{USERS}/{{id:uuid}}"
PROFILES = f"{API}/user-profiles"
INVITATIONS = f"{API}/organizations/current/invitations"
LINK = f"{API}/accounts/invitations"
NO_LINK = (400, 400, 400, 400)


def on(member: str, action: str = "") -> Callable[[Scene], str]:
    return lambda scene: f"{USERS}/{getattr(scene.at, member).id}/{action}"


def managing(verb: str, action: str, body: dict[str, Any] | None = None) -> dict[str, list[Entry]]:
    """What the administrator of the organization alone does to one of its members. An administrator of another one who
    names no header finds nobody of that id."""
    given = body or {}
    return {
        f"{verb} {ONE}/{action}": [
            Entry((401, 403, 403, 200), "administrator", on("student", action), lambda *_: given),
            Entry((401, 403, 403, 403), "teacher", on("student", action), lambda *_: given),
        ]
    }


def administering(endpoint: str, status: int = 200, **more: Any) -> dict[str, list[Entry]]:
    return {
        endpoint: [
            Entry((401, 403, 403, status), "administrator", **more),
            Entry((401, 403, 403, 403), "teacher", **more),
        ]
    }


def invited(scene: Scene, _: object) -> dict[str, Any]:
    return {"email": "somebody.else@example.org", "role": "teacher"}


def portrait(_: Scene) -> tuple[bytes, dict[str, str]]:
    raw, media = form(picture(), "me.png", {}, "avatar")
    return raw, {"Content-Type": media}


def invitation(action: str = "") -> Callable[[Scene], str]:
    return lambda scene: f"{INVITATIONS}/{scene.invitation}/{action}"


PEOPLE: dict[str, list[Entry]] = {
    **administering(f"GET {USERS}/"),
    **administering(f"POST {USERS}/", 201, body=invited),
    **managing("GET", ""),
    **managing("PATCH", "", {"role": "teacher"}),
    **managing("POST", "activate/"),
    **managing("POST", "deactivate/"),
    **managing("POST", "promote_teacher/"),
    **managing("POST", "promote_admin/"),
    **managing("POST", "demote/"),
    f"DELETE {ONE}/": [
        Entry((401, 403, 403, 200), "administrator", on("student")),
        Entry((401, 403, 403, 403), "teacher", on("student")),
    ],
    **administering(
        f"POST {USERS}/bulk_update/",
        body=lambda s, _: {"user_ids": [str(s.at.student.id)], "updates": {"role": "student"}},
    ),
    **administering(f"POST {USERS}/bulk_delete/", body=lambda s, _: {"user_ids": [str(s.at.applicant.id)]}),
    **administering(f"GET {USERS}/export/"),
    f"GET {USERS}/all_with_roles/": [Entry((401, 403, 403, 403), "administrator")],
    f"PATCH {USERS}/me/": [Entry(ONE_S_OWN, body=lambda *_: {"first_name": "Ada"})],
    f"GET {USERS}/preferences/": [Entry(ONE_S_OWN)],
    f"PATCH {USERS}/preferences/": [Entry(ONE_S_OWN, body=lambda *_: {"theme": "dark"})],
    f"GET {USERS}/activity/": [Entry(ONE_S_OWN)],
    f"GET {API}/notifications/preferences/": [Entry(ONE_S_OWN)],
    f"PUT {API}/notifications/preferences/": [Entry(ONE_S_OWN, body=lambda *_: {"sound_enabled": False})],
    f"GET {PROFILES}/": [Entry(ONE_S_OWN)],
    f"POST {PROFILES}/": [Entry((401, 201, 403, 201), body=lambda *_: {"bio": "Ropes"})],
    f"PATCH {PROFILES}/{{id:uuid}}/": [
        Entry((401, 404, 403, 200), path=lambda s: f"{PROFILES}/{s.at.teacher.id}/", body=lambda *_: {"bio": "Ropes"})
    ],
    f"POST {PROFILES}/upload_avatar/": [Entry(ONE_S_OWN, raw=portrait)],
    f"GET {PROFILES}/me/": [Entry(ONE_S_OWN)],
    f"PATCH {PROFILES}/me/": [Entry(ONE_S_OWN, body=lambda *_: {"title": "Dr"})],
    **administering(f"GET {INVITATIONS}/"),
    **administering(f"POST {INVITATIONS}/", 201, body=invited),
    f"DELETE {INVITATIONS}/{{id:uuid}}/": [
        Entry((401, 404, 404, 200), "administrator", invitation()),
        Entry((401, 404, 404, 404), "teacher", invitation()),
    ],
    f"POST {INVITATIONS}/{{id:uuid}}/resend/": [
        Entry((401, 404, 404, 200), "administrator", invitation("resend/")),
        Entry((401, 404, 404, 404), "teacher", invitation("resend/")),
    ],
    f"GET {LINK}/": [Entry(NO_LINK, path=lambda _: f"{LINK}/?token={'x' * 48}")],
    f"POST {LINK}/accept/": [Entry((401, 400, 400, 400), body=lambda *_: {"token": "x" * 48})],
    f"POST {LINK}/register/": [
        Entry(
            NO_LINK,
            body=lambda *_: {
                "token": "x" * 48,
                "first_name": "Ada",
                "last_name": "Byron",
                "password": PASSWORD,
                "password_confirm": PASSWORD,
            },
        )
    ],
}
