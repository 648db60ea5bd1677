"""The second factor of one's own account, and showing again who one is."""

from __future__ import annotations

from uuid import UUID

from edurise.identity.flows import factors
from edurise.identity.permissions import Identity, People
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.base import EmptyIn
from schemas.second_factor import FactorBeginIn, FactorBegunOut, FactorStateOut, OtpIn, RecoveryCodesOut, StepUpIn

TAGS = ["second-factor"]
WRONG = ["OTP_WRONG", "OTP_LOCKED", "OTP_NOT_ENROLLED", "SESSION_CONFINED"]


class SecondFactorHandler(RestHandler):
    """The second factor."""

    sensitive = True

    @permit(Identity.SECOND_FACTOR)
    @describe(
        summary="Whether there is a second factor, and who demands it",
        tags=TAGS,
        out=FactorStateOut,
        errors=["SESSION_CONFINED"],
    )
    async def get(self) -> None:
        self.reply(200, await factors.state(self.c, self.who))

    @permit(Identity.SECOND_FACTOR)
    @describe(
        summary="Make a secret for an authenticator; it counts once a code of it is confirmed",
        tags=TAGS,
        body=FactorBeginIn,
        out=FactorBegunOut,
        errors=["PASSWORD_WRONG", "OTP_ENROLLED", "SESSION_CONFINED"],
    )
    async def post(self) -> None:
        self.reply(200, await factors.begin(self.c, self.who, self.body(FactorBeginIn)["password"]))


class ConfirmHandler(RestHandler):
    """The first code."""

    sensitive = True

    @permit(Identity.SECOND_FACTOR)
    @describe(
        summary="Take the second factor into use; the other sessions end, and the recovery codes are shown once",
        tags=TAGS,
        body=OtpIn,
        out=RecoveryCodesOut,
        errors=[*WRONG, "OTP_ENROLLED"],
    )
    async def post(self) -> None:
        self.reply(200, await factors.confirm(self.c, self.who, self.body(OtpIn)["otp"]))


class RecoveryCodesHandler(RestHandler):
    """New recovery codes."""

    sensitive = True

    @permit(Identity.SECOND_FACTOR)
    @describe(
        summary="Replace the recovery codes; the new ones are shown once",
        tags=TAGS,
        body=OtpIn,
        out=RecoveryCodesOut,
        errors=WRONG,
    )
    async def post(self) -> None:
        self.reply(200, await factors.renew(self.c, self.who, self.body(OtpIn)["otp"]))


class DisableHandler(RestHandler):
    """The end of the second factor."""

    sensitive = True

    @permit(Identity.SECOND_FACTOR)
    @describe(
        summary="Do without the second factor",
        tags=TAGS,
        body=OtpIn,
        shape="none",
        errors=[*WRONG, "OTP_DEMANDED"],
    )
    async def post(self) -> None:
        await factors.disable(self.c, self.who, self.body(OtpIn)["otp"])
        self.reply(200)


class StepUpHandler(RestHandler):
    """Who one is, again."""

    sensitive = True

    @permit(Identity.SECOND_FACTOR)
    @describe(
        summary="Show again who one is, for ten minutes of what demands it",
        tags=TAGS,
        body=StepUpIn,
        shape="none",
        errors=["PASSWORD_WRONG", "OTP_REQUIRED", *WRONG],
    )
    async def post(self) -> None:
        data = self.body(StepUpIn)
        await factors.step_up(self.c, self.who, data["password"], data["otp"])
        self.reply(200)


class ResetHandler(RestHandler):
    """The second factor of somebody who lost it."""

    sensitive = True

    @permit(People.RESET_FACTOR)
    @describe(
        summary="Take the second factor from somebody who lost it; their sessions end, and they are told",
        tags=["users"],
        body=EmptyIn,
        shape="none",
        errors=["STEP_UP_REQUIRED", "NOT_ON_ONESELF"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        await factors.reset(self.c, self.who, id)
        self.reply(200)


_ROOT = "/api/v1/accounts/auth/second-factor"
routes = [
    (f"{_ROOT}/", SecondFactorHandler),
    (f"{_ROOT}/confirm/", ConfirmHandler),
    (f"{_ROOT}/recovery-codes/", RecoveryCodesHandler),
    (f"{_ROOT}/disable/", DisableHandler),
    ("/api/v1/accounts/auth/step-up/", StepUpHandler),
    ("/api/v1/users/{id:uuid}/reset_second_factor/", ResetHandler),
]
aliases: list[tuple[str, str, str]] = []
