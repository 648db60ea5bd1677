"""People as administrators manage them."""

from __future__ import annotations

from schemas.base import (
    Bool,
    Choice,
    Email,
    Id,
    Int,
    ListOf,
    Nested,
    Ordering,
    OutSchema,
    PageQuery,
    QueryBool,
    QuerySchema,
    StrictSchema,
    Text,
)

ROLES = ["student", "teacher", "admin"]


class UserListQuery(PageQuery):
    """What the list of members can be narrowed by; ``search`` looks at names and addresses."""

    is_teacher = QueryBool(load_default=None)
    is_approved_teacher = QueryBool(load_default=None)
    is_staff = QueryBool(load_default=None)
    is_active = QueryBool(load_default=None)
    role = Choice(ROLES, load_default=None)
    search = Text(max=200, load_default=None)
    ordering = Ordering(["date_joined", "last_login", "email"], load_default=None)


class InviteIn(StrictSchema):
    """Whom to invite, and to what. No password: a link is mailed."""

    email = Email(required=True)
    role = Choice(ROLES, load_default="student")
    first_name = Text(max=100, load_default="")
    last_name = Text(max=100, load_default="")


class UserPatch(StrictSchema):
    """What an administrator changes of a member. A name only while its person belongs nowhere else; an address only by
    the person's own confirmation."""

    first_name = Text(min=1, max=100)
    last_name = Text(min=1, max=100)
    email = Email()
    role = Choice(ROLES)
    is_active = Bool()
    is_approved_teacher = Bool()


class UsersPatch(StrictSchema):
    """What can be changed of many at once."""

    role = Choice(ROLES)
    is_active = Bool()
    is_approved_teacher = Bool()


class BulkUpdateIn(StrictSchema):
    """Whom to change, and how."""

    user_ids = ListOf(Id(), min=1, max=500, required=True)
    updates = Nested(UsersPatch, required=True)


class BulkDeleteIn(StrictSchema):
    """Whose memberships end."""

    user_ids = ListOf(Id(), min=1, max=500, required=True)


class FailedOut(OutSchema):
    """Somebody who stayed as they were, and why."""

    id = Id()
    code = Text(max=100)


class BulkOut(OutSchema):
    """How many were changed, and who was not."""

    updated = Int()
    failed = ListOf(Nested(FailedOut), max=500)


class ExportQuery(QuerySchema):
    """In which form."""

    format = Choice(["csv", "xlsx"], load_default="csv")


class MePatch(StrictSchema):
    """One's own name."""

    first_name = Text(min=1, max=100)
    last_name = Text(min=1, max=100)
