"""Bytes of files: for their readers, by signed links, for anybody, and many as one archive."""

from __future__ import annotations

from uuid import UUID

from edurise.files.flows import serving, zipping
from edurise.files.flows.zipping import Skipped
from edurise.files.permissions import Files
from edurise.texts.catalogue import text
from handlers.guards import describe, permit, public
from handlers.sending import SendingHandler
from schemas.file_downloads import DownloadQuery
from schemas.files import FileIdsIn

TAGS = ["files"]
OPENING = [
    "FILE_NOT_READY",
    "FILE_QUARANTINED",
    "FILE_FAILED",
    "FILE_IN_TRASH",
    "FILE_EXPIRED",
    "DAILY_LIMIT_REACHED",
    "PRECONDITION_FAILED",
    "RANGE_NOT_SATISFIABLE",
    "STORE_UNAVAILABLE",
]
ANY_TYPE = "application/octet-stream"
ARCHIVE_NAME = "files.zip"


class DownloadHandler(SendingHandler):
    """A file for the caller."""

    @permit(Files.OPEN)
    @describe(
        summary="The bytes of a file, or a part of them by Range",
        tags=TAGS,
        query=DownloadQuery,
        shape="bytes",
        produces=ANY_TYPE,
        also=[206],
        errors=OPENING,
    )
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        disposition = self.query(DownloadQuery)["disposition"]
        await self.send_file(await serving.download(self.c, self.who, id, disposition, self.asked))

    @permit(Files.OPEN)
    async def head(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await self.get(id)


class OpenHandler(SendingHandler):
    """Files that open without a token; one that comes along is not looked at."""

    reads_token = False


class FileLinkHandler(OpenHandler):
    """A signed link. Its person is known, and players and pages of pictures ask often: it is not limited as the public
    is."""

    limited = False

    @public()
    @describe(
        summary="The file that a signed link opens; from a bucket by a redirect. The name at the end is for the reader",
        tags=TAGS,
        shape="bytes",
        produces=ANY_TYPE,
        also=[206, 302],
        limited=False,
        errors=["LINK_INVALID", "LINK_EXPIRED", "LINK_REVOKED", *OPENING],
    )
    async def get(self, token: str, name: str) -> None:  # noqa: ARG002 - the name in the path says nothing
        await self.send_file(await serving.by_link(self.c, self.who, token, self.asked))

    @public()
    async def head(self, token: str, name: str) -> None:
        await self.get(token, name)


class PublicFileHandler(OpenHandler):
    """A public file, by a path that names its content."""

    @public()
    @describe(
        summary="A public file, to be kept for good: another content has another path",
        tags=TAGS,
        shape="bytes",
        produces=ANY_TYPE,
        also=[206],
        errors=OPENING,
    )
    async def get(self, id: UUID, content: str, name: str) -> None:  # noqa: A002, ARG002 - the names in the path
        await self.send_file(await serving.published(self.c, self.who, id, content, "inline", self.asked))

    @public()
    async def head(self, id: UUID, content: str, name: str) -> None:  # noqa: A002 - the name in the path
        await self.get(id, content, name)


class PublicThumbnailHandler(OpenHandler):
    """The small picture of a public file."""

    @public()
    @describe(
        summary="The small picture of a public file, to be kept for good",
        tags=TAGS,
        shape="bytes",
        produces=ANY_TYPE,
        also=[206],
        errors=OPENING,
    )
    async def get(self, id: UUID, content: str) -> None:  # noqa: A002 - the name in the path
        await self.send_file(await serving.published(self.c, self.who, id, content, "thumbnail", self.asked))

    @public()
    async def head(self, id: UUID, content: str) -> None:  # noqa: A002 - the name in the path
        await self.get(id, content)


class BulkDownloadHandler(SendingHandler):
    """Many files as one archive."""

    @permit(Files.KEEP)
    @describe(
        summary="Files of the acting organization as one archive; a text in it says which are left out, and why",
        tags=TAGS,
        body=FileIdsIn,
        shape="bytes",
        produces="application/zip",
        errors=OPENING,
    )
    async def post(self) -> None:
        members = await zipping.archive(self.c, self.who, self.body(FileIdsIn)["file_ids"], self._why)
        await self.send_archive(members, ARCHIVE_NAME)

    def _why(self, skipped: Skipped) -> str:
        return text(skipped.code, self.language, dict(skipped.params))


_FILES, _MEDIA = "/api/v1/file-uploads", "/media/{id:uuid}/{content:text}"
routes = [
    (f"{_FILES}/{{id:uuid}}/download/", DownloadHandler),
    (f"{_FILES}/bulk_download/", BulkDownloadHandler),
    ("/api/v1/file-links/{token:text}/{name:text}", FileLinkHandler),
    (f"{_MEDIA}/{{name:text}}", PublicFileHandler),
    (f"{_MEDIA}/thumbnail/", PublicThumbnailHandler),
]
aliases = [
    (method, f"/api/v1{_FILES}/{{id:uuid}}/download/", f"{_FILES}/{{id:uuid}}/download/") for method in ("GET", "HEAD")
]
