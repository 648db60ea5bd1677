"""Who may open files: shares, and what the caller may do."""

from __future__ import annotations

from uuid import UUID

from edurise.authz import About
from edurise.files import queries, sharing
from edurise.files.permissions import Files
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.files import CheckedFilesOut, FileIdsIn, PermissionsOut, SharedUserOut, ShareIn, ShareOut

TAGS = ["files"]


class ShareHandler(RestHandler):
    """Letting people open a file."""

    @permit(Files.OPEN)
    @describe(
        summary="Share a file with members of its organization",
        tags=TAGS,
        body=ShareIn,
        out=ShareOut,
        errors=["FILE_IN_TRASH"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        emails = self.body(ShareIn)["user_emails"]
        self.reply(200, await self.hop(sharing.share, id, emails, about=About("file", id)))


class UnshareHandler(RestHandler):
    """Taking that back."""

    @permit(Files.OPEN)
    @describe(summary="Take shares of a file back", tags=TAGS, body=ShareIn, shape="none")
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await self.hop(sharing.unshare, id, self.body(ShareIn)["user_emails"], about=About("file", id))
        self.reply(200)


class SharedUsersHandler(RestHandler):
    """Whom a file is shared with."""

    @permit(Files.OPEN)
    @describe(summary="Whom a file is shared with", tags=TAGS, out=SharedUserOut, shape="array")
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(sharing.shared_users, id, about=About("file", id)))


class FilePermissionsHandler(RestHandler):
    """What the caller may do with a file."""

    @permit(Files.OPEN)
    @describe(summary="What the caller may do with a file, and why", tags=TAGS, out=PermissionsOut)
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await self.hop(queries.may, id, about=About("file", id)))


class BulkPermissionsHandler(RestHandler):
    """What the caller may do with many files."""

    @permit(Files.KEEP)
    @describe(
        summary="What the caller may do with files of the acting organization, by id",
        tags=TAGS,
        body=FileIdsIn,
        out=CheckedFilesOut,
    )
    async def post(self) -> None:
        self.reply(200, await self.hop(queries.may_each, self.body(FileIdsIn)["file_ids"]))


_ROOT, _FILES = "/api/v1/file-uploads/{id:uuid}", "/api/v1/files/permissions"
routes = [
    (f"{_ROOT}/share/", ShareHandler),
    (f"{_ROOT}/unshare/", UnshareHandler),
    (f"{_ROOT}/shared_users/", SharedUsersHandler),
    (f"{_FILES}/bulk/", BulkPermissionsHandler),
    (f"{_FILES}/{{id:uuid}}/", FilePermissionsHandler),
]
_ALIAS = "/api/v1"
aliases = [
    ("POST", f"{_ALIAS}{_ROOT}/share/", f"{_ROOT}/share/"),
    ("POST", f"{_ALIAS}{_ROOT}/unshare/", f"{_ROOT}/unshare/"),
    ("GET", f"{_ALIAS}{_ROOT}/shared_users/", f"{_ROOT}/shared_users/"),
    ("POST", f"{_ALIAS}{_FILES}/bulk/", f"{_FILES}/bulk/"),
    ("GET", f"{_ALIAS}{_FILES}/{{id:uuid}}/", f"{_FILES}/{{id:uuid}}/"),
]
