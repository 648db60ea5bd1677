"""Enrolling, using and losing the second factor; and showing again who one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.errors import Invalid
from edurise.identity import factors, liveness, passwords, people
from edurise.identity.factors import Checked

if TYPE_CHECKING:
    from edurise.container import Container


async def state(c: Container, who: Principal) -> dict[str, Any]:
    """As ``factors.state``."""
    await c.db.run(who, liveness.admitted)
    found: dict[str, Any] = await c.db.system(factors.state, who.person)
    return found


async def begin(c: Container, who: Principal, password: str) -> dict[str, str]:
    """Make a secret; returns ``{secret, otpauth_uri, qr_code}``, to be shown once. Somebody without a password gives
    none. Raises Invalid (PASSWORD_WRONG), Conflict (OTP_ENROLLED)."""
    await c.db.run(who, liveness.admitted)
    await _same_person(c, who, password)
    begun: factors.Begun = await c.db.system(factors.begin, who, c.vault, c.codes)
    return {"secret": begun.secret, "otpauth_uri": begun.uri, "qr_code": c.qr_codes.picture_of(begun.uri)}


async def confirm(c: Container, who: Principal, otp: str) -> dict[str, list[str]]:
    """Take the second factor into use; returns ``{recovery_codes}``, to be shown once.

    Raises Invalid (OTP_WRONG), Limited (OTP_LOCKED), Conflict (OTP_ENROLLED, OTP_NOT_ENROLLED).
    """
    await c.db.run(who, liveness.admitted)
    outcome: Checked | list[str] = await c.db.system(factors.confirm, who, otp, c.vault, c.codes, c.lifetimes)
    made = _right(outcome)
    await c.announcer.ring("revocations")
    return {"recovery_codes": made}


async def renew(c: Container, who: Principal, otp: str) -> dict[str, list[str]]:
    """New recovery codes for a code; returns ``{recovery_codes}``.

    Raises Invalid (OTP_WRONG), Limited (OTP_LOCKED), Conflict (OTP_NOT_ENROLLED).
    """
    await c.db.run(who, liveness.admitted)
    outcome: Checked | list[str] = await c.db.system(factors.renew, who, otp, c.vault, c.codes)
    return {"recovery_codes": _right(outcome)}


async def disable(c: Container, who: Principal, otp: str) -> None:
    """Do without the second factor. Raises as ``renew``, and Conflict (OTP_DEMANDED)."""
    await c.db.run(who, liveness.admitted)
    _refuse(await c.db.system(factors.disable, who, otp, c.vault, c.codes))


async def step_up(c: Container, who: Principal, password: str, otp: str) -> None:
    """Show again who one is, for what is ``fresh``: by a code, or without a second factor by the password.

    Raises Invalid (OTP_WRONG, PASSWORD_WRONG), Limited (OTP_LOCKED), Forbidden (OTP_REQUIRED) where a code is needed
    and none was given.
    """
    await c.db.run(who, liveness.admitted)
    if await c.db.system(factors.needed, who.person, otp):
        _refuse(await c.db.system(factors.step_up, who, otp, c.vault, c.codes))
    else:
        await _same_person(c, who, password)
        await c.db.system(factors.prove, who)


async def reset(c: Container, who: Principal, person_id: UUID) -> None:
    """Take the second factor from somebody who lost it, as a platform administrator. Raises NotFound,
    Conflict (NOT_ON_ONESELF)."""
    await c.db.run(who, liveness.admitted)

    def work(session: Session) -> None:
        people.expect(session, person_id)
        factors.reset(session, who, person_id, c.lifetimes)

    await c.db.system(work)
    await c.announcer.ring("revocations")


async def check_at_log_in(c: Container, person_id: UUID, otp: str | None, who: Principal) -> bool:
    """Ask somebody who is being let in for the second factor, if they have one; returns whether one was given.

    Raises Forbidden (OTP_REQUIRED), Invalid (OTP_WRONG), Limited (OTP_LOCKED).
    """
    if not await c.db.system(factors.needed, person_id, otp):
        return False
    _refuse(await c.db.system(factors.check, who, otp, c.vault, c.codes))
    return True


def _refuse(checked: Checked) -> None:
    """Raise what a hop could not, for its count of wrong codes had to be committed."""
    if checked.refusal is not None:
        raise checked.refusal


def _right(outcome: Checked | list[str]) -> list[str]:
    if isinstance(outcome, Checked):
        raise outcome.refusal or Invalid("OTP_WRONG")
    return outcome


async def _same_person(c: Container, who: Principal, password: str) -> None:
    encoded: str | None = await c.db.system(passwords.encoded, who.person)
    if encoded is not None and not await c.hasher.verify(encoded, password):
        raise Invalid("PASSWORD_WRONG")
