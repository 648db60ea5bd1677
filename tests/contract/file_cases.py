"""The contract's calls about files: every entry of files.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tests.contract import reading
from tests.contract.cases import Case, Sent, complete, in_data, nothing, of_shape, page_at_both_levels
from tests.harness.client import Answer
from tests.harness.filing import TEXT, form, kept, shared
from tests.harness.world import Someone, World


async def own(world: World, **fields: Any) -> tuple[Someone, UUID, UUID]:
    """A teacher, their course, and a file of theirs in it."""
    teacher = world.person("teacher", world.organization())
    course_id = world.course(teacher)["id"]
    given = {"category": "course-materials", "course_id": course_id, "access_level": "enrolled"} | fields
    return teacher, course_id, await kept(world, teacher, **given)


def one(body: dict[str, Any] | None = None, query: str = "") -> Any:
    async def sent(world: World) -> Sent:
        teacher, course_id, file_id = await own(world, tags=["rope"], description="How to tie")
        return Sent(world.of(teacher), body, file_id, query.replace("COURSE", str(course_id)))

    return sent


async def uploading(world: World) -> Sent:
    teacher = world.person("teacher", world.organization())
    fields = {
        "category": "Course materials",
        "title": "Knots",
        "description": "How to tie",
        "access_level": "enrolled",
        "course_id": str(world.course(teacher)["id"]),
        "expires_at": "2099-01-02T03:04:05Z",
        "tags": '["rope", "sea"]',
    }
    raw, media = form(TEXT, "knots.txt", fields)
    return Sent(world.of(teacher), raw=raw, media=media)


async def sharing(world: World) -> Sent:
    teacher, _, file_id = await own(world)
    colleague = world.person(tenant_id=teacher.tenant_id)
    return Sent(world.of(teacher), {"user_emails": [colleague.email, "nobody@example.org"]}, file_id)


async def was_shared(world: World) -> Sent:
    teacher, _, file_id = await own(world)
    colleague = world.person(tenant_id=teacher.tenant_id)
    shared(world, file_id, colleague)
    return Sent(world.of(teacher), {"user_emails": [colleague.email]}, file_id)


async def was_read(world: World) -> Sent:
    sent: Sent = await one()(world)
    found = await sent.client.get(f"/api/v1/file-uploads/{sent.id}/download/")
    assert found.status == 200
    return sent


async def checking(world: World) -> Sent:
    teacher, _, file_id = await own(world)
    return Sent(world.of(teacher), {"file_ids": [str(file_id)]})


def page(_: Mapping[str, Any], answer: Answer) -> list[str]:
    wrong = page_at_both_levels(answer)
    wrong += [fault for row in answer.data["results"] for fault in complete("FileUpload", row)]
    return wrong if answer.data["count"] == 1 else [*wrong, f"{answer.data['count']} files"]


def array(_: Mapping[str, Any], answer: Answer) -> list[str]:
    wrong = [fault for row in answer.data for fault in complete("FileUpload", row)]
    return wrong if len(answer.data) == 1 else [*wrong, f"{len(answer.data)} files"]


def both_arrays(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    counts = (len(answer.data["shared_with"]), len(answer.data["denied_users"]))
    return in_data(spec, answer) + ([] if counts == (1, 1) else [f"shared and denied: {counts}"])


def some(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    return reading.faults(spec["data"], answer.data) + ([] if answer.data else ["nothing is listed"])


def content(_: Mapping[str, Any], answer: Answer) -> list[str]:
    """The client takes the name from ``filename="..."``."""
    name = re.search(r'filename="(.*?)"', answer.headers.get("Content-Disposition", ""))
    wrong = [] if name and name[1] == "knots.txt" else ["no filename"]
    return wrong if answer.content == TEXT else [*wrong, "other bytes"]


def link(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    return in_data(spec, answer) + ([] if answer.data["expires_in"] in (3600, 120) else ["expires_in"])


def log(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    return in_data(spec, answer) + ([] if len(answer.data["access_logs"]) == 1 else ["no access"])


def checked(_: Mapping[str, Any], answer: Answer) -> list[str]:
    wrong = []
    for file_id, told in answer.data.items():
        told_of = {"filename": "string!", "size_mb": "number!", "type": "string!", "access_level": "string!"}
        spec = {"access_allowed": "bool!", "access_reason": "string!", "permissions": "object!", "file_info": told_of}
        wrong += reading.faults({"id": "uuid!"} | spec, {"id": file_id} | told)
    return wrong if len(answer.data) == 1 else [*wrong, "no file"]


def categories(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    return some(spec, answer) + ([] if all(row["allowed_extensions"] for row in answer.data) else ["no extensions"])


async def member(world: World) -> Sent:
    return Sent(world.of(world.person(tenant_id=world.organization())))


FILES: dict[str, list[Case]] = {
    "files.list": [
        Case(one(), page),
        Case(
            one(query="?category=course-materials&access_level=enrolled&status=active&course=COURSE&search=knot"), page
        ),
        Case(one(query="?category=&access_level=&status=&course=&search=&ordering=-created_at"), page),
    ],
    "files.upload": [Case(uploading, of_shape("FileUpload"), 201)],
    "files.detail": [Case(one(), of_shape("FileUpload"))],
    "files.update": [
        Case(one({"title": "Bends", "tags": ["sea"], "access_level": "tenant"}), of_shape("FileUpload")),
        Case(one({}), of_shape("FileUpload")),
    ],
    "files.delete": [Case(one(), nothing)],
    "files.secure_url": [Case(one(), link), Case(one(query="?expires_in=120"), link)],
    "files.download": [Case(one(), content)],
    "files.share": [Case(sharing, both_arrays)],
    "files.unshare": [Case(was_shared, nothing)],
    "files.shared_users": [Case(was_shared, some)],
    "files.set_access_level": [Case(one({"access_level": "instructor"}), of_shape("FileUpload"))],
    "files.statistics": [Case(was_read, log)],
    "files.mine": [Case(one(), array), Case(one(query="?category=course-materials"), array)],
    "files.of_course": [Case(one(query="?course_id=COURSE"), array), Case(one(), array)],
    "files.permissions": [Case(one(), in_data)],
    "files.permissions_bulk": [Case(checking, checked)],
    "files.categories": [Case(member, categories)],
}
