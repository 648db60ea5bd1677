"""Bodies and answers of accounts."""

from __future__ import annotations

from typing import Any

from marshmallow import validates_schema

from schemas.base import (
    Bool,
    Choice,
    Email,
    Id,
    Instant,
    Int,
    Nested,
    OutSchema,
    Password,
    StrictSchema,
    Text,
    refuse_field,
)


class LoginIn(StrictSchema):
    """Address and password, and of who has a second factor a code of it, or a recovery code."""

    email = Email(required=True)
    password = Password(min=1, required=True)
    otp = Text(max=40, load_default=None, allow_none=True)


class RegisterIn(StrictSchema):
    """A new account; ``is_teacher`` asks for a teacher application."""

    email = Email(required=True)
    password = Password(required=True)
    password_confirm = Password(required=True)
    first_name = Text(min=1, max=100, required=True)
    last_name = Text(min=1, max=100, required=True)
    is_teacher = Bool(load_default=False)

    @validates_schema
    def same_passwords(self, data: dict[str, Any], **_: object) -> None:
        if data["password"] != data["password_confirm"]:
            refuse_field("password_confirm", "passwords_differ")


class LogoutIn(StrictSchema):
    """The refresh token, which may be rotated already."""

    refresh_token = Text(max=200, load_default=None, allow_none=True)


class RefreshIn(StrictSchema):
    """A refresh token, and the organization to act in from now on."""

    refresh = Text(min=1, max=200, required=True)
    tenant_id = Id(load_default=None, allow_none=True)


class OrganizationRefOut(OutSchema):
    """An organization, by name."""

    id = Id()
    name = Text()


class ProfileOut(OutSchema):
    """A person in the acting organization."""

    id = Id()
    role = Choice(["student", "teacher", "admin"])
    is_approved_teacher = Bool()
    teacher_approval_status = Choice(["not_applied", "pending", "approved", "rejected"])
    is_online = Bool(allow_none=True, description="Null: it is not measured.")
    avatar = Text(max=2000, allow_none=True)
    timezone = Text()
    language = Text()


class UserOut(OutSchema):
    """The contract's User. The four ``is_*`` flags follow from membership, teacher application and platform flag."""

    id = Id()
    email = Email()
    first_name = Text()
    last_name = Text()
    full_name = Text(max=300)
    name = Text(max=300)
    avatar = Text(max=2000, allow_none=True)
    role = Choice(["student", "teacher", "admin", "superuser"])
    is_teacher = Bool()
    is_approved_teacher = Bool()
    is_staff = Bool()
    is_superuser = Bool()
    is_active = Bool()
    is_verified = Bool()
    profiles_count = Int(required=False)
    date_joined = Instant()
    created_at = Instant()
    last_login = Instant(allow_none=True)
    organization = Nested(OrganizationRefOut, allow_none=True)
    organization_name = Text()
    current_profile = Nested(ProfileOut)


class LoginOut(OutSchema):
    """Who was let in, and the tokens."""

    user = Nested(UserOut)
    access = Text(max=2048)
    refresh = Text(max=200)


class TokensOut(OutSchema):
    """A new pair of tokens; the old refresh token is used up."""

    access = Text(max=2048)
    refresh = Text(max=200)


class PasswordChangeIn(StrictSchema):
    """One's own password, before and after; the new one twice, as forms ask for it."""

    old_password = Password(min=1, required=True)
    new_password1 = Password(required=True)
    new_password2 = Password(required=True)

    @validates_schema
    def same_passwords(self, data: dict[str, Any], **_: object) -> None:
        if data["new_password1"] != data["new_password2"]:
            refuse_field("new_password2", "passwords_differ")


class PasswordResetIn(StrictSchema):
    """Whose password is lost."""

    email = Email(required=True)


class PasswordResetConfirmIn(StrictSchema):
    """The token of the mailed link, and the new password twice."""

    token = Text(min=1, max=200, required=True)
    password = Password(required=True)
    password_confirm = Password(required=True)

    @validates_schema
    def same_passwords(self, data: dict[str, Any], **_: object) -> None:
        if data["password"] != data["password_confirm"]:
            refuse_field("password_confirm", "passwords_differ")


class MailedTokenIn(StrictSchema):
    """The token of a mailed link."""

    token = Text(min=1, max=200, required=True)


class AddressChangeIn(StrictSchema):
    """Another address, and the password."""

    email = Email(required=True)
    password = Password(min=1, required=True)
