"""The rows of the permission table that are about files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edurise.authz import About
from edurise.files import categories, service
from edurise.files.permissions import Files
from tests.harness.filing import TEXT, form, kept
from tests.harness.world import World
from tests.security.entries import API, ONE_S_OWN, Entry, Scene
from tests.security.scene import School

ROOT = f"{API}/file-uploads"
ONE = f"{ROOT}/{{id:uuid}}"
CATEGORY = {"name": "Sketches", "allowed_extensions": ["png"], "max_file_size_mb": 5}


async def file_scene(world: World, at: School) -> dict[str, str]:
    """The files of a scene, by the names of its fields."""
    teacher = at.teacher
    private = await kept(world, teacher)
    of_course = await kept(world, teacher, category="course-materials", course_id=at.free, access_level="enrolled")
    trashed = await kept(world, teacher)
    opens = teacher.principal.needing(Files.OPEN)
    world.c.db.run_sync(opens, service.trash, trashed, about=About("file", trashed))
    administers = at.administrator.principal.needing(Files.CATEGORIZE)
    made = world.c.db.run_sync(administers, categories.create, CATEGORY)
    return {
        "private_file": str(private),
        "course_file": str(of_course),
        "trashed_file": str(trashed),
        "category": str(made["id"]),
        "upload": "",
    }


def at_file(action: str, of: str = "private_file") -> Callable[[Scene], str]:
    return lambda scene: f"{ROOT}/{getattr(scene, of)}/{action}"


def ids(of: str) -> Callable[..., dict[str, Any]]:
    return lambda scene, _: {"file_ids": [getattr(scene, of)]}


def managing(action: str, body: dict[str, Any] | None = None) -> list[Entry]:
    """What who manages a file may do with it: its owner and its organization's administrator, not who only reads it."""
    given = body or {}
    return [
        Entry((401, 404, 404, 200), "teacher", at_file(action), lambda *_: given),
        Entry((401, 404, 404, 200), "administrator", at_file(action), lambda *_: given),
        Entry((401, 404, 404, 403), "learner", at_file(action, "course_file"), lambda *_: given),
    ]


def reading(action: str) -> list[Entry]:
    """What everybody may do who may open a file."""
    return [
        Entry((401, 404, 404, 200), "teacher", at_file(action)),
        Entry((401, 404, 404, 200), "administrator", at_file(action)),
        Entry((401, 404, 404, 200), "learner", at_file(action, "course_file")),
        Entry((401, 404, 404, 404), "learner", at_file(action)),
    ]


def uploading(**fields: Any) -> Callable[[Scene], tuple[bytes, dict[str, str]]]:
    def sent(scene: Scene) -> tuple[bytes, dict[str, str]]:
        given = {"category": "documents"} | {name: str(value(scene)) for name, value in fields.items()}
        body, media = form(TEXT, "knots.txt", given)
        return body, {"Content-Type": media}

    return sent


SHARED = {"user_emails": ["nobody@example.org"]}
FILES: dict[str, list[Entry]] = {
    f"GET {ROOT}/": [Entry(ONE_S_OWN)],
    f"POST {ROOT}/": [
        Entry((401, 201, 403, 201), raw=uploading()),
        Entry((401, 403, 403, 201), raw=uploading(access_level=lambda _: "tenant")),
        Entry((401, 403, 403, 201), raw=uploading(course_id=lambda scene: scene.at.free)),
    ],
    f"GET {ROOT}/my_files/": [Entry(ONE_S_OWN)],
    f"GET {ROOT}/usage/": [Entry(ONE_S_OWN)],
    f"GET {ROOT}/course_files/": [
        Entry((401, 200, 200, 200), "learner", lambda scene: f"{ROOT}/course_files/?course_id={scene.at.free}"),
        Entry((401, 404, 404, 200), path=lambda scene: f"{ROOT}/course_files/?course_id={scene.at.draft}"),
    ],
    f"GET {ONE}/": reading(""),
    f"PATCH {ONE}/": managing("", {"title": "New"}),
    f"DELETE {ONE}/": managing(""),
    f"POST {ONE}/restore/": [Entry((401, 404, 404, 200), "teacher", at_file("restore/", "trashed_file"))],
    f"POST {ONE}/erase/": [
        Entry((401, 404, 404, 200), "teacher", at_file("erase/", "trashed_file")),
        Entry((401, 404, 404, 409), "teacher", at_file("erase/")),
    ],
    f"POST {ONE}/set_access_level/": managing("set_access_level/", {"access_level": "private"}),
    f"GET {ONE}/secure_url/": reading("secure_url/"),
    f"POST {ONE}/revoke_links/": managing("revoke_links/"),
    f"GET {ONE}/statistics/": managing("statistics/"),
    f"POST {ONE}/share/": managing("share/", SHARED),
    f"POST {ONE}/unshare/": managing("unshare/", SHARED),
    f"GET {ONE}/shared_users/": managing("shared_users/"),
    f"GET {API}/files/permissions/{{id:uuid}}/": [
        Entry((401, 404, 404, 200), path=lambda scene: f"{API}/files/permissions/{scene.private_file}/"),
        Entry((401, 404, 404, 200), "learner", lambda scene: f"{API}/files/permissions/{scene.course_file}/"),
    ],
    f"POST {API}/files/permissions/bulk/": [Entry(ONE_S_OWN, body=ids("private_file"))],
    f"POST {ROOT}/bulk_move/": [
        Entry(ONE_S_OWN, body=lambda scene, _: {"file_ids": [scene.private_file], "category": "documents"}),
    ],
    f"POST {ROOT}/bulk_delete/": [Entry(ONE_S_OWN, body=ids("private_file"))],
    f"POST {ROOT}/bulk_restore/": [Entry(ONE_S_OWN, body=ids("trashed_file"))],
    f"POST {ROOT}/bulk_erase/": [Entry(ONE_S_OWN, body=ids("trashed_file"))],
    f"POST {ROOT}/bulk_share/": [
        Entry(ONE_S_OWN, body=lambda scene, _: {"file_ids": [scene.private_file], **SHARED}),
    ],
    f"POST {ROOT}/bulk_tag/": [
        Entry(ONE_S_OWN, body=lambda scene, _: {"file_ids": [scene.private_file], "add": ["rope"]}),
    ],
    f"GET {API}/file-categories/": [Entry(ONE_S_OWN)],
    f"POST {API}/file-categories/": [
        Entry((401, 403, 403, 201), "administrator", body=lambda *_: CATEGORY | {"name": "Maps"}),
        Entry((401, 403, 403, 403), "teacher", body=lambda *_: CATEGORY | {"name": "Maps"}),
    ],
    f"PATCH {API}/file-categories/{{id:uuid}}/": [
        Entry(
            (401, 403, 403, 200),
            "administrator",
            lambda scene: f"{API}/file-categories/{scene.category}/",
            lambda *_: {"icon": "map"},
        ),
        Entry((401, 403, 403, 403), "teacher", lambda scene: f"{API}/file-categories/{scene.category}/"),
    ],
    f"DELETE {API}/file-categories/{{id:uuid}}/": [
        Entry((401, 403, 403, 200), "administrator", lambda scene: f"{API}/file-categories/{scene.category}/"),
        Entry((401, 403, 403, 403), "teacher", lambda scene: f"{API}/file-categories/{scene.category}/"),
    ],
}
