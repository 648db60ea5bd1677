"""Accounts that were deleted: the mails about it, and the erasing once the grace is over."""

from __future__ import annotations

from actors.mailing import send
from actors.registry import actor
from actors.runtime import DeliveryHop
from actors.schedule import job
from edurise.container import Container
from edurise.errors import NotFound
from edurise.identity import queries as people
from edurise.identity.events import AccountDeletionAsked, AccountRestored
from edurise.privacy import erasing
from edurise.privacy.events import AccountErased, AccountErasureDue


@actor(on=AccountDeletionAsked, fatal=(NotFound,))
async def mail_a_deletion(c: Container, event: AccountDeletionAsked, hop: DeliveryHop) -> None:
    """Until when a log-in keeps the account."""
    to = await hop.system(people.reachable, event.person_id)
    await send(c, event, "account_deletion", to, "/auth/login", {"until": event.until})
    await hop.finish()


@actor(on=AccountRestored, fatal=(NotFound,))
async def mail_a_restoring(c: Container, event: AccountRestored, hop: DeliveryHop) -> None:
    """That the account stays, for somebody who did not log in."""
    to = await hop.system(people.reachable, event.person_id)
    await send(c, event, "account_restored", to, "/auth/forgot-password", {})
    await hop.finish()


@actor(on=AccountErasureDue)
async def erase(c: Container, event: AccountErasureDue, hop: DeliveryHop) -> None:
    """Erase in the final hop: whoever asks again finds nobody."""
    await hop.system(erasing.erase, event.person_id, c.vault, final=True)


@actor(on=AccountErased)
async def mail_a_farewell(c: Container, event: AccountErased, hop: DeliveryHop) -> None:
    """The last mail to an address, which is forgotten with it."""
    if event.sealed_letter:
        to = erasing.letter(c.vault, event.sealed_letter)
        counts = {"deleted": to["deleted"], "emptied": to["emptied"]}
        await send(c, event, "account_erased", to, "/", counts)
    await hop.system(erasing.told, event.id, final=True)


@job(every_s=3600)
async def ask_for_erasures(c: Container) -> None:
    """Everybody whose grace is over, and letters that could not be delivered."""
    after = await c.db.system(erasing.ask, None)
    while after is not None:
        after = await c.db.system(erasing.ask, after)
    while await c.db.system(erasing.forget_letters) == erasing.BATCH:
        pass
