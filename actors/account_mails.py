"""Mails about an account itself. They are sent whatever somebody prefers: each tells of a key to their account.

A link's id is that of the event that asked for it, so a mail that is sent again leads to the same link.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from actors.mailing import send
from actors.registry import actor
from actors.runtime import DeliveryHop
from edurise.container import Container
from edurise.errors import NotFound
from edurise.identity import addresses
from edurise.identity import queries as people
from edurise.identity.events import (
    EmailChangeAsked,
    EmailChanged,
    EmailVerificationAsked,
    IdentityLinkAsked,
    PasswordChanged,
    PasswordResetAsked,
    RecoveryCodeUsed,
    SecondFactorDisabled,
    SecondFactorEnrolled,
)
from edurise.identity.federation import PURPOSE as LINK_IDENTITY
from edurise.identity.flows.addresses import SEALED_FOR as ADDRESS
from edurise.identity.flows.passwords import SEALED_FOR as RESET
from edurise.tenants import queries as tenants


@actor(on=EmailVerificationAsked, fatal=(NotFound,))
async def mail_a_verification(c: Container, event: EmailVerificationAsked, hop: DeliveryHop) -> None:
    """The link that shows that an address is its person's."""
    if await hop.system(addresses.verification_link, event.person_id, event.id):
        to = await _person(hop, event.person_id)
        token = c.mail_links.token("verify_email", event.id)
        await send(c, event, "verify_email", to, f"/auth/verify-email?token={token}", {})
    await hop.finish()


@actor(on=PasswordResetAsked, fatal=(NotFound,))
async def mail_a_reset(c: Container, event: PasswordResetAsked, hop: DeliveryHop) -> None:
    """The link by which a lost password is replaced; nothing for an address that nobody has."""
    email = c.vault.unseal_text(event.sealed_email, RESET)
    person_id = await hop.system(addresses.reset_link, email, event.id)
    if person_id is not None:
        to = await _person(hop, person_id)
        token = c.mail_links.token("reset_password", event.id)
        await send(c, event, "reset_password", to, f"/auth/reset-password?token={token}", {})
    await hop.finish()


@actor(on=PasswordChanged, fatal=(NotFound,))
async def tell_of_a_password(c: Container, event: PasswordChanged, hop: DeliveryHop) -> None:
    """That the password is another one now, for somebody who did not change it."""
    await send(c, event, "password_changed", await _person(hop, event.person_id), "/auth/forgot-password", {})
    await hop.finish()


@actor(on=EmailChangeAsked, fatal=(NotFound,))
async def mail_a_change(c: Container, event: EmailChangeAsked, hop: DeliveryHop) -> None:
    """The link that moves an account, to the new address; nothing to one that somebody has."""
    email = c.vault.unseal_text(event.sealed_email, ADDRESS)
    if await hop.system(addresses.change_link, event.person_id, email, event.id):
        to = await _person(hop, event.person_id) | {"email": email}
        token = c.mail_links.token("change_email", event.id)
        await send(c, event, "change_email", to, f"/auth/confirm-email?token={token}", {})
    await hop.finish()


@actor(on=IdentityLinkAsked, fatal=(NotFound,))
async def mail_an_identity_link(c: Container, event: IdentityLinkAsked, hop: DeliveryHop) -> None:
    """Whether an account at an organization's identity provider is theirs."""
    to = await _person(hop, event.person_id)
    path = f"/auth/link?token={c.mail_links.token(LINK_IDENTITY, event.link_id)}"
    await send(c, event, "identity_link", to, path, {"organization": await hop(tenants.name_of)})
    await hop.finish()


@actor(on=EmailChanged, fatal=(NotFound,))
async def tell_of_a_change(c: Container, event: EmailChanged, hop: DeliveryHop) -> None:
    """To the old address, that the account has moved."""
    to = await _person(hop, event.person_id) | {"email": c.vault.unseal_text(event.sealed_email, ADDRESS)}
    await send(c, event, "email_changed", to, "/contact", {})
    await hop.finish()


@actor(on=SecondFactorEnrolled, fatal=(NotFound,))
async def tell_of_a_second_factor(c: Container, event: SecondFactorEnrolled, hop: DeliveryHop) -> None:
    """That a code is asked for from now on."""
    await send(c, event, "second_factor_enrolled", await _person(hop, event.person_id), "/account", {})
    await hop.finish()


@actor(on=SecondFactorDisabled, fatal=(NotFound,))
async def tell_of_no_second_factor(c: Container, event: SecondFactorDisabled, hop: DeliveryHop) -> None:
    """That no code is asked for any more."""
    await send(c, event, "second_factor_disabled", await _person(hop, event.person_id), "/account", {})
    await hop.finish()


@actor(on=RecoveryCodeUsed, fatal=(NotFound,))
async def tell_of_a_recovery_code(c: Container, event: RecoveryCodeUsed, hop: DeliveryHop) -> None:
    """That somebody came in by a recovery code."""
    await send(c, event, "recovery_code_used", await _person(hop, event.person_id), "/account", {})
    await hop.finish()


async def _person(hop: DeliveryHop, person_id: UUID) -> dict[str, Any]:
    found: dict[str, Any] = await hop.system(people.reachable, person_id)
    return found
