"""Uploads from the client to the store itself."""

from __future__ import annotations

from uuid import UUID

from edurise.files.flows import arriving, directing
from edurise.files.permissions import Files
from handlers.files.linking import LinkingHandler
from handlers.files.uploads import KEEPING
from handlers.guards import describe, permit
from schemas.file_uploads import DirectUploadIn, DirectUploadOut, PartsQuery
from schemas.files import FileOut

TAGS = ["direct uploads"]


class DirectUploadsHandler(LinkingHandler):
    """New uploads to the store."""

    @permit(Files.KEEP)
    @describe(
        summary="Begin an upload to the store itself: the answer has a link for each of the first parts",
        tags=TAGS,
        body=DirectUploadIn,
        out=DirectUploadOut,
        status=201,
        errors=[*KEEPING, "DIRECT_UPLOAD_UNAVAILABLE", "STORE_UNAVAILABLE"],
    )
    async def post(self) -> None:
        """Each part is sent by PUT to its link, with exactly its size; then the upload is completed."""
        self.reply(201, await directing.begin(self.c, self.who, self.body(DirectUploadIn), self.links))


class DirectUploadHandler(LinkingHandler):
    """An upload to the store."""

    @permit(Files.UPLOAD)
    @describe(
        summary="Which parts the store has, and new links for those that it lacks",
        tags=TAGS,
        query=PartsQuery,
        out=DirectUploadOut,
        errors=["UPLOAD_GONE", "STORE_UNAVAILABLE"],
    )
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        first = self.query(PartsQuery)["first"]
        self.reply(200, await directing.status(self.c, self.who, id, first, self.links))

    @permit(Files.UPLOAD)
    @describe(summary="Give an upload to the store up", tags=TAGS, shape="none", errors=["STORE_UNAVAILABLE"])
    async def delete(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await arriving.give_up(self.c, self.who, id)
        self.reply(200)


class CompleteUploadHandler(LinkingHandler):
    """The end of an upload to the store."""

    @permit(Files.UPLOAD)
    @describe(
        summary="All parts were sent: make one file of them",
        tags=TAGS,
        out=FileOut,
        errors=["UPLOAD_GONE", "UPLOAD_INCOMPLETE", "FILE_TYPE_MISMATCH", "STORE_UNAVAILABLE"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await directing.complete(self.c, self.who, id, self.links))


_ROOT = "/api/v1/file-uploads/direct"
routes = [
    (f"{_ROOT}/", DirectUploadsHandler),
    (f"{_ROOT}/{{id:uuid}}/", DirectUploadHandler),
    (f"{_ROOT}/{{id:uuid}}/complete/", CompleteUploadHandler),
]
aliases: list[tuple[str, str, str]] = []
