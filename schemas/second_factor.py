"""The second factor."""

from __future__ import annotations

from schemas.base import Bool, Instant, Int, ListOf, OutSchema, Password, StrictSchema, Text


class FactorStateOut(OutSchema):
    """Whether there is one, and who demands it."""

    is_enrolled = Bool()
    since = Instant(allow_none=True)
    recovery_codes_left = Int()
    demanded_by = ListOf(Text(), max=1000)


class FactorBeginIn(StrictSchema):
    """The password; who has none leaves it out."""

    password = Password(min=0, load_default="")


class FactorBegunOut(OutSchema):
    """What an authenticator needs, shown once."""

    secret = Text(max=100)
    otpauth_uri = Text(max=1000)
    qr_code = Text(max=50_000)


class OtpIn(StrictSchema):
    """A code of the authenticator, or a recovery code."""

    otp = Text(min=6, max=40, required=True)


class RecoveryCodesOut(OutSchema):
    """Codes that stand in for the second factor once each, shown once."""

    recovery_codes = ListOf(Text(max=40))


class StepUpIn(StrictSchema):
    """A code of who has a second factor, the password of who has none."""

    otp = Text(max=40, load_default="")
    password = Password(min=0, load_default="")
