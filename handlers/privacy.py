"""One's own data: a copy of it, and the end of the account."""

from __future__ import annotations

from edurise.privacy.flows import deleting, exporting
from edurise.privacy.permissions import Privacy
from handlers.attachments import AttachingHandler
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.privacy import DeleteAccountIn, DeletionOut

TAGS = ["users"]


class ExportHandler(AttachingHandler):
    """A copy of everything."""

    sensitive = True

    @permit(Privacy.EXPORT)
    @describe(
        summary="All data of one's own over all organizations, as a JSON file",
        tags=TAGS,
        shape="bytes",
        produces="application/json",
        errors=["STEP_UP_REQUIRED", "SESSION_CONFINED"],
    )
    async def get(self) -> None:
        document = await exporting.own(self.c, self.who)
        name = f"user-data-{self.c.clock.now():%Y-%m-%d}.json"
        self.reply_file(document, name, "application/json; charset=utf-8")


class DeleteAccountHandler(RestHandler):
    """The end of an account, after a grace."""

    sensitive = True

    @permit(Privacy.DELETE_ACCOUNT)
    @describe(
        summary="Delete one's own account: every session ends, and a log-in before the time in the answer keeps it",
        tags=TAGS,
        body=DeleteAccountIn,
        out=DeletionOut,
        errors=[
            "PASSWORD_WRONG",
            "LAST_ADMINISTRATOR",
            "PLATFORM_ADMINISTRATOR",
            "STEP_UP_REQUIRED",
            "SESSION_CONFINED",
        ],
    )
    async def post(self) -> None:
        data = self.body(DeleteAccountIn)
        self.reply(200, await deleting.delete_account(self.c, self.who, data["password"]))


routes = [
    ("/api/v1/users/export-data/", ExportHandler),
    ("/api/v1/users/delete-account/", DeleteAccountHandler),
]
aliases: list[tuple[str, str, str]] = []
