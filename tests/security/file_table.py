"""The rows of the permission table that are about files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from edurise.authz import About
from edurise.files import categories, queries, service
from edurise.files.flows import resuming
from edurise.files.links import Links
from edurise.files.permissions import Files
from tests.harness.errands import run_actors
from tests.harness.filing import TEXT, form, kept, picture, upload
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
    links = Links(world.c.link_signer, "http://x", "http://x")
    about = About("file", private)
    link = world.c.db.run_sync(opens, queries.secure_url, private, 600, "inline", links, about=about)["secure_url"]
    answer = await upload(world, teacher, picture(), "boat.png", access_level="public")
    public = UUID(answer.data["id"])
    await run_actors(world, "files.inspect")
    shown = world.c.db.run_sync(opens, queries.file, public, links, about=About("file", public))
    keeps = teacher.principal.needing(Files.KEEP)
    begun = await resuming.create(world.c, keeps, "knots.txt", 100, {"category": "documents"})
    return {
        "private_file": str(private),
        "course_file": str(of_course),
        "trashed_file": str(trashed),
        "category": str(made["id"]),
        "upload": str(begun.id),
        "link": link.removeprefix("http://x"),
        "public": shown["file"].removeprefix("http://x"),
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


TUS = {"Tus-Resumable": "1.0.0"}
BEGINS = {**TUS, "Upload-Length": "9", "Upload-Metadata": "filename YS50eHQ=,category ZG9jdW1lbnRz"}
GOES_ON = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
TUS_ONE = f"{ROOT}/tus/{{id:uuid}}/"
DIRECT_ONE = f"{ROOT}/direct/{{id:uuid}}/"


def uploading_on(status: int, headers: dict[str, str], body: bytes | None = None) -> list[Entry]:
    """An upload is its person's alone; who administers the organization sees that there is one, and no more."""
    at = lambda scene: f"{ROOT}/tus/{scene.upload}/"  # noqa: E731 - as the other rows
    return [
        Entry((401, 404, 404, status), "teacher", at, raw=lambda _: (body, headers)),
        Entry((401, 404, 404, 403), "administrator", at, raw=lambda _: (body, headers)),
    ]


def sending_on(action: str, status: int) -> list[Entry]:
    return [Entry((401, 404, 404, status), "teacher", lambda scene: f"{ROOT}/direct/{scene.upload}/{action}")]


PUBLIC = (200, 200, 200, 200)
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
    f"POST {ROOT}/bulk_download/": [Entry((401, 404, 403, 200), body=ids("course_file"))],
    **{f"{verb} {ONE}/download/": reading("download/") for verb in ("GET", "HEAD")},
    **{
        f"{verb} {path}": [Entry(PUBLIC, path=where)]
        for verb in ("GET", "HEAD")
        for path, where in {
            f"{API}/file-links/{{token:text}}/{{name:text}}": lambda scene: scene.link,
            "/media/{id:uuid}/{content:text}/{name:text}": lambda scene: scene.public,
            "/media/{id:uuid}/{content:text}/thumbnail/": lambda scene: scene.public.rpartition("/")[0] + "/thumbnail/",
        }.items()
    },
    f"POST {ROOT}/tus/": [Entry((401, 201, 403, 201), raw=lambda _: (b"", BEGINS))],
    f"HEAD {TUS_ONE}": uploading_on(200, TUS),
    f"PATCH {TUS_ONE}": uploading_on(204, GOES_ON, b"Over"),
    f"DELETE {TUS_ONE}": uploading_on(204, TUS),
    f"POST {ROOT}/direct/": [
        Entry((401, 409, 403, 409), body=lambda *_: {"filename": "a.txt", "size": 9, "category": "documents"}),
    ],
    # The upload of the scene is one by tus, for the local store takes no other; it can only be given up this way.
    f"GET {DIRECT_ONE}": sending_on("", 404),
    f"DELETE {DIRECT_ONE}": sending_on("", 200),
    f"POST {DIRECT_ONE}complete/": sending_on("complete/", 404),
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
