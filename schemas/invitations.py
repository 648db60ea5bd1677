"""Invitations."""

from __future__ import annotations

from typing import Any

from marshmallow import validates_schema

from schemas.base import Choice, Email, Id, Instant, OutSchema, Password, QuerySchema, StrictSchema, Text, refuse_field
from schemas.people import ROLES


class InvitationOut(OutSchema):
    """An invitation as its organization sees it."""

    id = Id()
    email = Email()
    first_name = Text()
    last_name = Text()
    role = Choice(ROLES)
    status = Choice(["open", "accepted", "revoked", "expired"])
    created_at = Instant()
    expires_at = Instant()
    accepted_at = Instant(allow_none=True)


class InvitationShownOut(OutSchema):
    """An invitation as whoever holds its link sees it."""

    email = Email()
    role = Choice(ROLES)
    first_name = Text()
    last_name = Text()
    organization_id = Id()
    organization_name = Text()
    logo = Text(max=2000, allow_none=True)
    expires_at = Instant()


class InvitationQuery(QuerySchema):
    """The token of the mailed link."""

    token = Text(min=1, max=200, required=True)


class AcceptIn(StrictSchema):
    """The token of the mailed link."""

    token = Text(min=1, max=200, required=True)


class JoinedOut(OutSchema):
    """Where one belongs now."""

    organization_id = Id()


class InvitedRegisterIn(StrictSchema):
    """A new account for the invited address."""

    token = Text(min=1, max=200, required=True)
    first_name = Text(min=1, max=100, required=True)
    last_name = Text(min=1, max=100, required=True)
    password = Password(required=True)
    password_confirm = Password(required=True)

    @validates_schema
    def same_passwords(self, data: dict[str, Any], **_: object) -> None:
        if data["password"] != data["password_confirm"]:
            refuse_field("password_confirm", "passwords_differ")
