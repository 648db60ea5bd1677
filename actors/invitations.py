"""The mail that invites."""

from __future__ import annotations

from actors.mailing import send
from actors.registry import actor
from actors.runtime import DeliveryHop
from edurise.container import Container
from edurise.errors import Invalid
from edurise.identity.flows.invitations import PURPOSE
from edurise.tenants import invitations
from edurise.tenants.events import InvitationMade


@actor(on=InvitationMade, fatal=(Invalid,))
async def mail_an_invitation(c: Container, event: InvitationMade, hop: DeliveryHop) -> None:
    """To the address, whether it has an account or not; one that was revoked meanwhile is not sent."""
    to = await hop.system(invitations.look_up, event.invitation_id)
    token = c.mail_links.token(PURPOSE, event.invitation_id)
    params = {"organization": to["organization_name"]}
    await send(c, event, "invitation", to, f"/auth/invitation?token={token}", params)
    await hop.finish()
