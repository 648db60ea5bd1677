"""Files: lists, one file, and uploads by a form."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from edurise.authz import About
from edurise.files import queries, service, uploads
from edurise.files.flows import arriving
from edurise.files.permissions import Files
from edurise.streams import Pipe
from handlers.files.linking import LinkingHandler
from handlers.forms import Form
from handlers.guards import describe, permit
from handlers.receiving import ReceivingHandler
from schemas.files import (
    AccessIn,
    CourseFilesQuery,
    FileForm,
    FileListQuery,
    FileOut,
    FilePatch,
    FileStatisticsOut,
    MyFilesQuery,
    QuotaOut,
    SecureUrlOut,
    SecureUrlQuery,
    UsageQuery,
    read_fields,
)

TAGS = ["files"]
KEEPING = ["FILE_TYPE_NOT_ALLOWED", "FILE_TOO_LARGE", "FILE_ACCESS_NOT_ALLOWED", "QUOTA_EXCEEDED"]
CHANGING = [*KEEPING, "FILE_IN_TRASH", "COURSE_ACCESS_ERROR"]


class FilesHandler(ReceivingHandler, LinkingHandler):
    """The files of the acting organization, and new ones."""

    @permit(Files.KEEP)
    @describe(
        summary="Files that the caller may know of; those in the trash with ?status=deleted",
        tags=TAGS,
        query=FileListQuery,
        out=FileOut,
        shape="page",
    )
    async def get(self) -> None:
        query = self.query(FileListQuery)
        window = self.window(query)
        self.reply_page(await self.hop(queries.listing, query, window, self.links), window)

    @permit(Files.KEEP)
    @describe(
        summary="Upload a file by a form",
        tags=TAGS,
        body=FileForm,
        out=FileOut,
        status=201,
        also=[200],
        idempotent=True,
        media_types=["multipart/form-data"],
        errors=[*KEEPING, "FILE_TYPE_MISMATCH", "STORE_UNAVAILABLE"],
    )
    async def post(self) -> None:
        """The bytes are streamed to the store; the file is ``processing`` until they were inspected."""
        self.reply_made(await self.received())

    @property
    def stream_limit(self) -> int:
        return max(self.c.keeping.limits.file_bytes.values()) + uploads.FORM_OVERHEAD_BYTES

    async def receive(self, pipe: Pipe) -> Any:
        form = Form(self.request.headers.get("Content-Type", ""), pipe)
        length = self.announced_length()
        return await arriving.receive(self.c, self.who, form, length, read_fields, self.idempotency_key(), self.links)


class FileHandler(LinkingHandler):
    """One file."""

    @permit(Files.OPEN)
    @describe(summary="A file", tags=TAGS, out=FileOut)
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(queries.file, id, self.links, about=About("file", id)))

    @permit(Files.OPEN)
    @describe(summary="Change what is said of a file", tags=TAGS, body=FilePatch, out=FileOut, errors=CHANGING)
    async def patch(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        args = (id, self.body(FilePatch), self.c.keeping, self.links)
        self.reply(200, await self.hop(service.change, *args, about=About("file", id)))

    @permit(Files.OPEN)
    @describe(summary="Put a file into the trash", tags=TAGS, shape="none", errors=["FILE_ARRIVING"])
    async def delete(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await self.hop(service.trash, id, about=About("file", id))
        self.reply(200)


class RestoredFileHandler(LinkingHandler):
    """A file out of the trash."""

    @permit(Files.OPEN)
    @describe(summary="Take a file out of the trash", tags=TAGS, out=FileOut)
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(service.restore, id, self.links, about=About("file", id)))


class ErasedFileHandler(LinkingHandler):
    """A file that is gone for good."""

    @permit(Files.OPEN)
    @describe(summary="Erase a file in the trash for good", tags=TAGS, shape="none", errors=["FILE_NOT_IN_TRASH"])
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await self.hop(service.erase, id, self.c.keeping, about=About("file", id))
        self.reply(200)


class AccessLevelHandler(LinkingHandler):
    """Who may open a file."""

    @permit(Files.OPEN)
    @describe(summary="Change who may open a file", tags=TAGS, body=AccessIn, out=FileOut, errors=CHANGING)
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        args = (id, self.body(AccessIn)["access_level"], self.c.keeping, self.links)
        self.reply(200, await self.hop(service.set_access, *args, about=About("file", id)))


class SecureUrlHandler(LinkingHandler):
    """A link that opens a file by itself."""

    @permit(Files.OPEN)
    @describe(
        summary="A signed link that opens the file as the caller, for a while",
        tags=TAGS,
        query=SecureUrlQuery,
        out=SecureUrlOut,
        errors=["FILE_NOT_READY", "FILE_QUARANTINED", "FILE_FAILED", "FILE_IN_TRASH", "FILE_EXPIRED"],
    )
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        query = self.query(SecureUrlQuery)
        args = (id, query["expires_in"], query["disposition"], self.links)
        self.reply(200, await self.hop(queries.secure_url, *args, about=About("file", id)))


class RevokedLinksHandler(LinkingHandler):
    """Links that open no more."""

    @permit(Files.OPEN)
    @describe(summary="Make every signed link to a file worthless at once", tags=TAGS, out=FileOut)
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(service.revoke_links, id, self.links, about=About("file", id)))


class FileStatisticsHandler(LinkingHandler):
    """Who opened a file."""

    @permit(Files.OPEN)
    @describe(summary="How often a file was downloaded, and by whom last", tags=TAGS, out=FileStatisticsOut)
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(service.statistics, id, about=About("file", id)))


class MyFilesHandler(LinkingHandler):
    """One's own files."""

    @permit(Files.KEEP)
    @describe(
        summary="The caller's own files in the acting organization",
        tags=TAGS,
        query=MyFilesQuery,
        out=FileOut,
        shape="array",
    )
    async def get(self) -> None:
        query = self.query(MyFilesQuery)
        self.reply(200, await self.hop(queries.mine, query.get("category"), self.links))


class CourseFilesHandler(LinkingHandler):
    """The files of a course."""

    @permit(Files.OPEN)
    @describe(
        summary="The files of a course, as far as the caller may know of them",
        tags=TAGS,
        query=CourseFilesQuery,
        out=FileOut,
        shape="array",
    )
    async def get(self) -> None:
        course_id = self.query(CourseFilesQuery).get("course_id")
        about = About("course", course_id) if course_id else None
        self.reply(200, await self.hop(queries.of_course, course_id, self.links, about=about))


class UsageHandler(LinkingHandler):
    """Storage that is used."""

    @permit(Files.KEEP)
    @describe(
        summary="The storage that the organization, the caller and a course use, and how much they may",
        tags=TAGS,
        query=UsageQuery,
        out=QuotaOut,
        shape="array",
    )
    async def get(self) -> None:
        course_id = self.query(UsageQuery).get("course_id")
        self.reply(200, await self.hop(queries.usage, course_id, self.c.keeping.quotas))


_ROOT = "/api/v1/file-uploads"
routes = [
    (f"{_ROOT}/", FilesHandler),
    (f"{_ROOT}/my_files/", MyFilesHandler),
    (f"{_ROOT}/course_files/", CourseFilesHandler),
    (f"{_ROOT}/usage/", UsageHandler),
    (f"{_ROOT}/{{id:uuid}}/", FileHandler),
    (f"{_ROOT}/{{id:uuid}}/restore/", RestoredFileHandler),
    (f"{_ROOT}/{{id:uuid}}/erase/", ErasedFileHandler),
    (f"{_ROOT}/{{id:uuid}}/set_access_level/", AccessLevelHandler),
    (f"{_ROOT}/{{id:uuid}}/secure_url/", SecureUrlHandler),
    (f"{_ROOT}/{{id:uuid}}/revoke_links/", RevokedLinksHandler),
    (f"{_ROOT}/{{id:uuid}}/statistics/", FileStatisticsHandler),
]
_ALIAS = "/api/v1/api/v1/file-uploads"
_ONE = f"{_ALIAS}/{{id:uuid}}"
aliases = [
    ("GET", f"{_ALIAS}/", f"{_ROOT}/"),
    ("POST", f"{_ALIAS}/", f"{_ROOT}/"),
    ("GET", f"{_ALIAS}/my_files/", f"{_ROOT}/my_files/"),
    ("GET", f"{_ALIAS}/course_files/", f"{_ROOT}/course_files/"),
    ("GET", f"{_ONE}/", f"{_ROOT}/{{id:uuid}}/"),
    ("PATCH", f"{_ONE}/", f"{_ROOT}/{{id:uuid}}/"),
    ("DELETE", f"{_ONE}/", f"{_ROOT}/{{id:uuid}}/"),
    ("POST", f"{_ONE}/set_access_level/", f"{_ROOT}/{{id:uuid}}/set_access_level/"),
    ("GET", f"{_ONE}/secure_url/", f"{_ROOT}/{{id:uuid}}/secure_url/"),
    ("GET", f"{_ONE}/statistics/", f"{_ROOT}/{{id:uuid}}/statistics/"),
]
