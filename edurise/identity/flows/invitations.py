"""Accepting an invitation: with the account that its address has, or with a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.errors import Forbidden
from edurise.identity import liveness, passwords, queries, service
from edurise.identity.flows.sessions import Device, let_in
from edurise.identity.sessions import Way
from edurise.tenants import invitations

if TYPE_CHECKING:
    from edurise.container import Container

PURPOSE = "invitation"


async def show(c: Container, token: str) -> dict[str, Any]:
    """What an open invitation is to, and for whom. Raises Invalid (MAILED_LINK_INVALID, INVITATION_INVALID)."""
    found: dict[str, Any] = await c.db.system(invitations.look_up, c.mail_links.read(PURPOSE, token))
    names = ("email", "role", "first_name", "last_name", "organization_id", "organization_name", "logo", "expires_at")
    return {name: found[name] for name in names}


async def accept(c: Container, who: Principal, token: str) -> dict[str, Any]:
    """Let the caller join; returns ``{organization_id}``.

    Raises Invalid (MAILED_LINK_INVALID, INVITATION_INVALID), Forbidden (INVITATION_OF_ANOTHER), Conflict
    (PLAN_LIMIT_REACHED).
    """
    await c.db.run(who, liveness.admitted)
    invitation_id = c.mail_links.read(PURPOSE, token)
    joined: UUID = await c.db.system(_join, who, invitation_id)
    return {"organization_id": joined}


async def register(c: Container, token: str, names: tuple[str, str], password: str, device: Device) -> dict[str, Any]:
    """Make an account for the invited address and let it in; returns ``{user, access, refresh}``. That the link was
    opened shows that the address is theirs.

    Raises as ``accept``, Conflict (EMAIL_TAKEN) where the address has an account, which then accepts logged in, and
    Invalid for a password that is weak or known.
    """
    invitation_id = c.mail_links.read(PURPOSE, token)
    found: dict[str, Any] = await c.db.system(invitations.look_up, invitation_id)
    passwords.check(await c.judge.fault_of(password, (found["email"], *names)))
    encoded = await c.hasher.hash(password)
    new = service.NewPerson(found["email"], *names, language=found["language"])
    person_id: UUID = await c.db.system(_found_and_join, new, encoded, invitation_id, device)
    return await let_in(c, person_id, found["organization_id"], device, Way("invitation", is_proved=True))


def _join(session: Session, who: Principal, invitation_id: UUID) -> UUID:
    invited = invitations.look_up(session, invitation_id)
    if queries.contact(session, who.person)["email"].lower() != invited["email"].lower():
        raise Forbidden("INVITATION_OF_ANOTHER")
    service.verify_address(session, who)
    return invitations.accept(session, who, invitation_id)


def _found_and_join(
    session: Session, new: service.NewPerson, encoded: str, invitation_id: UUID, device: Device
) -> UUID:
    person_id = service.found_person(session, new, encoded)
    who = Principal(user_id=person_id, ip=device.ip, user_agent=device.user_agent)
    service.verify_address(session, who)
    invitations.accept(session, who, invitation_id)
    return person_id
