"""One command on many files, with a result for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edurise.files import bulk
from edurise.files.permissions import Files
from edurise.texts.catalogue import text
from handlers.files.linking import LinkingHandler
from handlers.guards import describe, permit
from schemas.file_bulk import BulkMoveIn, BulkResultOut, BulkShareIn, BulkTagIn
from schemas.files import FileIdsIn

TAGS = ["files"]


class BulkHandler(LinkingHandler):
    """Tells each refusal in the caller's language."""

    def reply_each(self, results: Sequence[dict[str, Any]]) -> None:
        """Answer with what became of each file, in the order in which they were named."""
        told = []
        for one in results:
            params = one.pop("params")
            said = text(one["code"], self.language, params) if one["code"] else None
            told.append({**one, "message": said})
        self.reply(200, told)


class BulkMoveHandler(BulkHandler):
    """Moving files."""

    @permit(Files.KEEP)
    @describe(
        summary="Move files to another category or course", tags=TAGS, body=BulkMoveIn, out=BulkResultOut, shape="array"
    )
    async def post(self) -> None:
        data = self.body(BulkMoveIn)
        self.reply_each(await self.hop(bulk.move, data.pop("file_ids"), data, self.c.keeping))


class BulkDeleteHandler(BulkHandler):
    """Putting files into the trash."""

    @permit(Files.KEEP)
    @describe(summary="Put files into the trash", tags=TAGS, body=FileIdsIn, out=BulkResultOut, shape="array")
    async def post(self) -> None:
        self.reply_each(await self.hop(bulk.trash, self.body(FileIdsIn)["file_ids"]))


class BulkRestoreHandler(BulkHandler):
    """Taking files out of the trash."""

    @permit(Files.KEEP)
    @describe(summary="Take files out of the trash", tags=TAGS, body=FileIdsIn, out=BulkResultOut, shape="array")
    async def post(self) -> None:
        self.reply_each(await self.hop(bulk.restore, self.body(FileIdsIn)["file_ids"], self.links))


class BulkEraseHandler(BulkHandler):
    """Erasing files in the trash."""

    @permit(Files.KEEP)
    @describe(summary="Erase files in the trash for good", tags=TAGS, body=FileIdsIn, out=BulkResultOut, shape="array")
    async def post(self) -> None:
        self.reply_each(await self.hop(bulk.erase, self.body(FileIdsIn)["file_ids"], self.c.keeping))


class BulkShareHandler(BulkHandler):
    """Sharing files."""

    @permit(Files.KEEP)
    @describe(
        summary="Share files with members of the organization",
        tags=TAGS,
        body=BulkShareIn,
        out=BulkResultOut,
        shape="array",
    )
    async def post(self) -> None:
        data = self.body(BulkShareIn)
        self.reply_each(await self.hop(bulk.share, data["file_ids"], data["user_emails"]))


class BulkTagHandler(BulkHandler):
    """Tags of files."""

    @permit(Files.KEEP)
    @describe(summary="Add tags to files and remove them", tags=TAGS, body=BulkTagIn, out=BulkResultOut, shape="array")
    async def post(self) -> None:
        data = self.body(BulkTagIn)
        self.reply_each(await self.hop(bulk.tag, data["file_ids"], data["add"], data["remove"]))


_ROOT = "/api/v1/file-uploads"
routes = [
    (f"{_ROOT}/bulk_move/", BulkMoveHandler),
    (f"{_ROOT}/bulk_delete/", BulkDeleteHandler),
    (f"{_ROOT}/bulk_restore/", BulkRestoreHandler),
    (f"{_ROOT}/bulk_erase/", BulkEraseHandler),
    (f"{_ROOT}/bulk_share/", BulkShareHandler),
    (f"{_ROOT}/bulk_tag/", BulkTagHandler),
]
aliases: list[tuple[str, str, str]] = []
