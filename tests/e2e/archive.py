"""Two organizations that keep files, one on the disk and one in S3, and four people; behind nginx, with a real scanner."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from tests.e2e.town import Town, logged_in
from tests.harness.antivirus import OwnClamd
from tests.harness.books import Books
from tests.harness.client import Answer, Client
from tests.harness.filing import FILES, form
from tests.harness.machine import require
from tests.harness.object_storage import OwnSeaweed
from tests.harness.processes import ROOT, Stack
from tests.harness.waiting import eventually

TUS = f"{FILES}tus/"
OCTETS = "application/offset+octet-stream"
CLI_S = 90


@dataclass
class School:
    """An organization, its teacher, its student who is enrolled in the course, and where its files are kept."""

    name: str
    id: UUID
    store: str
    course: str
    teacher: Client
    student: Client
    student_email: str


class Archive:
    """A stack with a disk, an object storage and a scanner, and what tests do with them."""

    def __init__(self, stack: Stack, storage: OwnSeaweed) -> None:
        self.stack, self.storage = stack, storage
        self.books = Books(stack.postgres.port, stack.mail_folder)
        self.schools: dict[str, School] = {}

    async def open(self) -> None:
        """Found the organizations and enroll the students; the second one's files go to S3 from the start."""
        with contextlib.closing(Town(self.stack)) as town:
            for name, store in (("harbour", "local"), ("hill", "s3")):
                tenant = town.organization(name.title(), name)
                teacher, student = f"teacher@{name}.example", f"student@{name}.example"
                teacher_id = town.person(teacher, tenant, "teacher")
                town.person(student, tenant)
                course = str(town.course(teacher_id, tenant, f"Knots of {name}", "0"))
                anonymous = self.stack.client
                as_student = await logged_in(anonymous, student)
                enrolled = await as_student.post(f"/api/v1/courses/{course}/enroll/")
                assert enrolled.status == 201, enrolled.content
                as_teacher = await logged_in(anonymous, teacher)
                self.schools[name] = School(name, tenant, store, course, as_teacher, as_student, student)
        assert "moved" in await self.run("files", "move", "hill", "--to", "s3", "--keep-old", "0")

    # -- what people do ---------------------------------------------------------------------------------------------

    async def upload(self, who: Client, content: bytes, name: str, **fields: str) -> Answer:
        """A form, as the library of the reference client sends it."""
        body, media = form(content, name, {"category": "documents"} | fields)
        return await who.exchange("POST", FILES, raw=body, headers={"Content-Type": media})

    async def settled(self, who: Client, file_id: str, state: str = "ready") -> dict[str, Any]:
        """The file, once it was inspected."""

        async def look() -> dict[str, Any] | None:
            found = (await who.get(f"{FILES}{file_id}/")).data
            return found if found["state"] == state else None

        return await eventually(look, f"the file is {state}", 60)

    async def kept(self, who: Client, content: bytes, name: str = "knots.txt", **fields: str) -> dict[str, Any]:
        """A file that was uploaded by a form and may be opened."""
        answer = await self.upload(who, content, name, **fields)
        assert answer.status == 201, answer.content
        return await self.settled(who, answer.data["id"])

    async def begin_tus(self, who: Client, size: int, **fields: str) -> str:
        """The path of a new resumable upload."""
        given = {"filename": "knots.txt", "category": "documents"} | fields
        metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in given.items())
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size), "Upload-Metadata": metadata}
        answer = await who.exchange("POST", TUS, raw=b"", headers=headers)
        assert answer.status == 201, answer.content
        return urlsplit(answer.headers["Location"]).path

    async def offset(self, who: Client, path: str) -> int:
        """How far it has come."""
        answer = await who.exchange("HEAD", path, headers={"Tus-Resumable": "1.0.0"})
        assert answer.status == 200, answer.content
        return int(answer.headers["Upload-Offset"])

    async def go_on(self, who: Client, path: str, content: bytes) -> None:
        """Send what is missing, as clients do: ask, send, and again while somebody else still seems to write."""

        async def rest() -> bool:
            at = await self.offset(who, path)
            headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": str(at), "Content-Type": OCTETS}
            answer = await who.exchange("PATCH", path, raw=content[at:], headers=headers)
            assert answer.status in (204, 409), answer.content
            return answer.status == 204

        await eventually(rest, "the upload goes on", 60)

    def open_patch(self, who: Client, web: str, path: str, at: int, length: int) -> bytes:
        """The head of a request that sends the rest of an upload to one web process."""
        return (
            f"PATCH {path} HTTP/1.1\r\nHost: {urlsplit(web).netloc}\r\nAuthorization: Bearer {who.token}\r\n"
            f"Tus-Resumable: 1.0.0\r\nContent-Type: {OCTETS}\r\nUpload-Offset: {at}\r\n"
            f"Content-Length: {length - at}\r\n\r\n"
        ).encode()

    async def fetched(self, url: str, **headers: str) -> Answer:
        """What a plain link opens, redirects followed, without an Authorization."""
        answer = await self.stack.client.at("").exchange("GET", url, headers=headers)
        if answer.status == 302:
            return await self.stack.client.at("").exchange("GET", answer.headers["Location"], headers=headers)
        return answer

    # -- what is stored ---------------------------------------------------------------------------------------------

    async def objects(self) -> dict[str, set[str]]:
        """The keys that each store holds."""
        folder = Path(self.stack.settings["EDU_DATA_DIR"]) / "files"

        def listed() -> dict[str, set[str]]:
            local = {f"f/{one.parent.name}/{one.name}" for one in folder.glob("f/*/*")}
            client = self.storage.client()
            try:
                pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.storage.bucket, Prefix="f/")
                cloud = {one["Key"] for page in pages for one in page.get("Contents", ())}
            finally:
                client.close()
            return {"local": local, "s3": cloud}

        return await asyncio.to_thread(listed)

    def referred(self) -> dict[str, set[str]]:
        """The keys that rows refer to, by store."""
        query = """
            SELECT store, key FROM files WHERE state <> 'erased'
            UNION SELECT store, thumbnail_key FROM files WHERE thumbnail_key IS NOT NULL AND state <> 'erased'
            UNION SELECT store, key FROM uploads WHERE state = 'open' AND way <> 'form' AND offset_bytes = size_bytes
            UNION SELECT store, tail_key FROM uploads WHERE state = 'open' AND tail_key IS NOT NULL
        """
        found: dict[str, set[str]] = {"local": set(), "s3": set()}
        for row in self.books.rows(query):
            found[row["store"]].add(row["key"])
        return found

    async def tidy(self, within_s: float = 60) -> None:
        """Wait until both stores hold exactly what rows refer to."""

        async def same() -> bool:
            return await self.objects() == self.referred()

        await eventually(same, "no byte without a row, no row without bytes", within_s)

    def used(self, school: School) -> int:
        """The storage that an organization uses."""
        query = """
            SELECT coalesce(sum(used), 0)::bigint FROM quota_usage
             WHERE tenant_id = %s AND scope = 'organization' AND resource = 'storage_bytes'
        """
        return self.books.number(query, str(school.id))

    async def run(self, *arguments: str, code: int = 0) -> str:
        """``run.py`` with the stack's settings; returns what it said."""

        def work() -> str:
            found = subprocess.run(
                [sys.executable, str(ROOT / "run.py"), *arguments],
                cwd=self.stack.directory,
                env=self._environment,
                check=False,
                timeout=CLI_S,
                capture_output=True,
                text=True,
            )
            assert found.returncode == code, found.stdout + found.stderr
            return found.stdout + found.stderr

        return await asyncio.to_thread(work)

    async def kill_a_move(self, organization: str, target: str) -> None:
        """Begin a move and kill it with -9 once a file has moved."""
        moved = "SELECT count(*) FROM files WHERE store = %s AND tenant_id = %s"
        tenant = str(self.schools[organization].id)
        before = self.books.number(moved, target, tenant)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "run.py"),
            *("files", "move", organization, "--to", target),
            cwd=self.stack.directory,
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await eventually(lambda: self.books.number(moved, target, tenant) > before, "a file has moved", 60)
        finally:
            process.kill()
            await process.wait()

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT), **self.stack.settings}


@contextlib.contextmanager
def running_archive(stack_of: Any, directory: Path, first_port: int) -> Iterator[Archive]:
    """The archive's stack on ports from ``first_port``: 16 of its own, 8 of the storage and one of the scanner."""
    for binary in ("weed", "clamd"):
        require(binary)
    with (
        OwnSeaweed(directory / "seaweed", first_port + 20) as storage,
        OwnClamd(directory / "clamd", first_port + 30) as scanner,
    ):
        settings = {
            **storage.settings(),
            "EDU_FILE_STORE": "local",
            "EDU_CLAMAV_URL": scanner.url,
            "EDU_CLAMAV_MAX_BYTES": "4000000",
            "EDU_DELIVERY_STEPS_S": "0.5,0.5,1,1,2,5,10",
        }
        with stack_of(first_port, settings) as stack:
            yield Archive(stack, storage)
