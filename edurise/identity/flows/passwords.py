"""Changing a password, and resetting a lost one by a mailed link."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.orm import Session

from edurise import outbox
from edurise.authz import Principal
from edurise.errors import Invalid, Problem
from edurise.identity import liveness, mailed, passwords
from edurise.identity.events import PasswordResetAsked
from edurise.tenants.queries import MAIN

if TYPE_CHECKING:
    from edurise.container import Container

SEALED_FOR = "password-reset"


async def change(c: Container, who: Principal, old: str, new: str) -> None:
    """Change the caller's own password; their other sessions end.

    Raises Invalid: PASSWORD_WRONG, and for a new one that is weak, known, or the same.
    """
    await c.db.run(who, liveness.admitted)
    encoded, about = await c.db.system(_known, who)
    if not await c.hasher.verify(encoded, old):
        raise Invalid("PASSWORD_WRONG")
    if new == old:
        raise Invalid(errors={"new_password1": [Problem("same_password")]})
    passwords.check(await c.judge.fault_of(new, about), "new_password1")
    fresh = await c.hasher.hash(new)
    await c.db.system(passwords.change, who, encoded, fresh, c.lifetimes)
    await c.announcer.ring("revocations")


async def ask_reset(c: Container, email: str) -> None:
    """Mail a link to whoever has this address. What is done, and for how long, is the same if nobody has it.

    Raises Limited where an address is asked for too often.
    """
    await c.limiter.hit("password-reset", email.lower())
    await c.db.system(_record_reset, c.vault.seal_text(email, SEALED_FOR))


async def reset(c: Container, who: Principal, token: str, new: str) -> None:
    """Set a new password by a mailed link; every session of the person ends.

    Raises Invalid: MAILED_LINK_INVALID, and for a password that is weak or known. A refused password leaves the link.
    """
    link_id = c.mail_links.read("reset_password", token)
    about = await c.db.system(_owner_of, link_id)
    passwords.check(await c.judge.fault_of(new, about))
    fresh = await c.hasher.hash(new)
    await c.db.system(passwords.reset, who, link_id, fresh, c.lifetimes)
    await c.announcer.ring("revocations")


def _known(session: Session, who: Principal) -> tuple[str | None, tuple[str, ...]]:
    return passwords.encoded(session, who.person), passwords.words_about(session, who.person)


def _record_reset(session: Session, sealed: str) -> None:
    outbox.record(session, MAIN, PasswordResetAsked(sealed_email=sealed))


def _owner_of(session: Session, link_id: UUID) -> tuple[str, ...]:
    link = mailed.look_up(session, link_id, "reset_password")
    return passwords.words_about(session, link.person_id)
