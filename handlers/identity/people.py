"""People as administrators manage them: by their memberships of the acting organization."""

from __future__ import annotations

from uuid import UUID

from edurise.identity import people
from edurise.identity.flows import people as managing
from edurise.identity.permissions import People
from handlers.attachments import AttachingHandler
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.base import EmptyIn
from schemas.identity import UserOut
from schemas.people import BulkDeleteIn, BulkOut, BulkUpdateIn, ExportQuery, InviteIn, UserListQuery, UserPatch

TAGS = ["users"]
MEDIA = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
CHANGING = [
    "PERSON_BELONGS_ELSEWHERE",
    "NOT_ON_ONESELF",
    "LAST_ADMINISTRATOR",
    "PLAN_LIMIT_REACHED",
    "STEP_UP_REQUIRED",
]


class UsersHandler(RestHandler):
    """The members of the acting organization, and those to be."""

    @permit(People.LIST)
    @describe(
        summary="The members of the acting organization", tags=TAGS, query=UserListQuery, out=UserOut, shape="page"
    )
    async def get(self) -> None:
        query = self.query(UserListQuery)
        window = self.window(query)
        self.reply_page(await self.hop(people.listing, query, window), window)

    @permit(People.INVITE)
    @describe(
        summary="Invite an address to the acting organization by mail, whether it has an account or not",
        tags=TAGS,
        body=InviteIn,
        out=UserOut,
        status=201,
        errors=["ALREADY_MEMBER", "STEP_UP_REQUIRED"],
    )
    async def post(self) -> None:
        self.reply(201, await self.hop(people.invite, self.body(InviteIn)))


class UserHandler(RestHandler):
    """One member, also by the id of their teacher application."""

    @permit(People.LIST)
    @describe(summary="A member", tags=TAGS, out=UserOut)
    async def get(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await managing.one(self.c, self.who, id))

    @permit(People.CHANGE)
    @describe(summary="Change a member", tags=TAGS, body=UserPatch, out=UserOut, errors=CHANGING)
    async def patch(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.reply(200, await managing.change(self.c, self.who, id, self.body(UserPatch)))

    @permit(People.REMOVE)
    @describe(
        summary="End a membership; the person, and what they did, stay",
        tags=TAGS,
        shape="none",
        errors=["NOT_ON_ONESELF", "LAST_ADMINISTRATOR"],
    )
    async def delete(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await managing.remove(self.c, self.who, id)
        self.reply(200)


class UsersExportHandler(AttachingHandler):
    """The members as a sheet."""

    @permit(People.EXPORT)
    @describe(
        summary="The members of the acting organization as a CSV or XLSX file, at most 100,000",
        tags=TAGS,
        query=ExportQuery,
        shape="bytes",
        produces="*/*",
        errors=["STEP_UP_REQUIRED"],
    )
    async def get(self) -> None:
        form = self.query(ExportQuery)["format"]
        content = await managing.roster(self.c, self.who, form)
        self.reply_file(content, f"users-{self.c.clock.now():%Y-%m-%d}.{form}", MEDIA[form])


class EverybodyHandler(RestHandler):
    """Everybody, for the platform."""

    @permit(People.EVERYBODY)
    @describe(
        summary="Everybody on the platform, each with their oldest membership",
        tags=TAGS,
        out=UserOut,
        shape="page",
    )
    async def get(self) -> None:
        self.reply_page(await managing.everybody(self.c, self.who), self.everything)


class ActivateHandler(RestHandler):
    """Letting a member in again."""

    @permit(People.CHANGE)
    @describe(summary="Let a member in again", tags=TAGS, body=EmptyIn, out=UserOut, errors=CHANGING)
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        self.reply(200, await managing.switch(self.c, self.who, id, active=True))


class DeactivateHandler(RestHandler):
    """Shutting a member out."""

    @permit(People.CHANGE)
    @describe(summary="Shut a member out, at once", tags=TAGS, body=EmptyIn, out=UserOut, errors=CHANGING)
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        self.reply(200, await managing.switch(self.c, self.who, id, active=False))


class PromoteTeacherHandler(RestHandler):
    """To teacher."""

    @permit(People.CHANGE)
    @describe(summary="Make a member a teacher", tags=TAGS, body=EmptyIn, out=UserOut, errors=CHANGING)
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        self.reply(200, await managing.give_role(self.c, self.who, id, "teacher"))


class PromoteAdminHandler(RestHandler):
    """To administrator."""

    @permit(People.PROMOTE)
    @describe(
        summary="Make a member an administrator of the organization",
        tags=TAGS,
        body=EmptyIn,
        out=UserOut,
        errors=CHANGING,
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        self.reply(200, await managing.give_role(self.c, self.who, id, "admin"))


class DemoteHandler(RestHandler):
    """To student."""

    @permit(People.CHANGE)
    @describe(summary="Make a member a student", tags=TAGS, body=EmptyIn, out=UserOut, errors=CHANGING)
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        self.reply(200, await managing.give_role(self.c, self.who, id, "student"))


class BulkUpdateHandler(RestHandler):
    """Many members at once."""

    @permit(People.CHANGE)
    @describe(
        summary="Change up to 500 members; what fails for one is told and leaves that one as it was",
        tags=TAGS,
        body=BulkUpdateIn,
        out=BulkOut,
    )
    async def post(self) -> None:
        data = self.body(BulkUpdateIn)
        self.reply(200, await self.hop(people.change_each, data["user_ids"], data["updates"]))


class BulkDeleteHandler(RestHandler):
    """The end of many memberships."""

    @permit(People.REMOVE)
    @describe(
        summary="End up to 500 memberships; what fails for one is told and leaves that one as it was",
        tags=TAGS,
        body=BulkDeleteIn,
        out=BulkOut,
    )
    async def post(self) -> None:
        self.reply(200, await self.hop(people.remove_each, self.body(BulkDeleteIn)["user_ids"]))


_ROOT = "/api/v1/users"
_ONE = f"{_ROOT}/{{id:uuid}}"
_OLD = "/api/v1/accounts/users"
_OLD_ONE = f"{_OLD}/{{id:uuid}}"
_ACTS = ("activate", "deactivate", "promote_teacher", "promote_admin", "demote")
routes = [
    (f"{_ROOT}/", UsersHandler),
    (f"{_ROOT}/all_with_roles/", EverybodyHandler),
    (f"{_ROOT}/export/", UsersExportHandler),
    (f"{_ROOT}/bulk_update/", BulkUpdateHandler),
    (f"{_ROOT}/bulk_delete/", BulkDeleteHandler),
    (f"{_ONE}/", UserHandler),
    (f"{_ONE}/activate/", ActivateHandler),
    (f"{_ONE}/deactivate/", DeactivateHandler),
    (f"{_ONE}/promote_teacher/", PromoteTeacherHandler),
    (f"{_ONE}/promote_admin/", PromoteAdminHandler),
    (f"{_ONE}/demote/", DemoteHandler),
]
aliases = [
    ("GET", f"{_OLD}/", f"{_ROOT}/"),
    ("GET", f"{_OLD}/export/", f"{_ROOT}/export/"),
    *((verb, f"{_OLD_ONE}/", f"{_ONE}/") for verb in ("GET", "PATCH", "DELETE")),
    *(("POST", f"{_OLD_ONE}/{act}/", f"{_ONE}/{act}/") for act in _ACTS),
    *(("POST", f"{_OLD}/{act}/", f"{_ROOT}/{act}/") for act in ("bulk_update", "bulk_delete")),
]
