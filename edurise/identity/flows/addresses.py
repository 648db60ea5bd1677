"""Showing that an address is one's own, and moving to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.errors import Invalid
from edurise.identity import addresses, liveness, passwords

if TYPE_CHECKING:
    from edurise.container import Container

SEALED_FOR = "address"


async def ask_verification(c: Container, who: Principal) -> None:
    """Mail the caller a link."""
    await c.db.run(who, liveness.admitted)
    await c.db.system(addresses.ask_verification, who)


async def verify(c: Container, who: Principal, token: str) -> None:
    """Take an address as its person's. Raises Invalid (MAILED_LINK_INVALID)."""
    await c.db.system(addresses.verify, who, c.mail_links.read("verify_email", token))


async def ask_change(c: Container, who: Principal, email: str, password: str) -> None:
    """Mail a link to another address of the caller's. Raises Invalid (PASSWORD_WRONG)."""
    await c.db.run(who, liveness.admitted)
    await c.limiter.hit("address-change", str(who.person))
    encoded: str | None = await c.db.system(passwords.encoded, who.person)
    if not await c.hasher.verify(encoded, password):
        raise Invalid("PASSWORD_WRONG")
    await c.db.system(addresses.ask_change, who, c.vault.seal_text(email, SEALED_FOR))


async def change(c: Container, who: Principal, token: str) -> None:
    """Move the caller's account to the address that the link was mailed to, and tell the old one.

    Raises Invalid (MAILED_LINK_INVALID), Forbidden, Conflict (EMAIL_TAKEN).
    """
    await c.db.run(who, liveness.admitted)
    link_id = c.mail_links.read("change_email", token)

    def move(session: Session) -> None:
        before = addresses.change(session, who, link_id)
        addresses.tell_changed(session, who, c.vault.seal_text(before, SEALED_FOR))

    await c.db.system(move)
