"""``/ws/notifications/``: the contract's door to a person's notifications."""

from __future__ import annotations

from uuid import UUID

from edurise import channels
from edurise.authz import About, Principal
from edurise.channels import Replay
from edurise.errors import NotFound
from edurise.notifications import queries as notifications
from edurise.notifications import service
from edurise.notifications.permissions import Notifications
from handlers.guards import permit
from handlers.ws.base import SocketHandler
from handlers.ws.peer import DOOR
from handlers.ws.session import CHANNEL_KINDS, ChannelKind

LEEWAY_S = 24 * 3600


def _own(who: Principal, subject: UUID) -> About | None:
    if subject != who.person:
        raise NotFound("CHANNEL_NOT_FOUND")
    return None


CHANNEL_KINDS["notifications"] = ChannelKind(Notifications.FOLLOW, _own)


@permit(Notifications.FOLLOW)
class NotificationsDoor(SocketHandler):
    """Greets, says how many are unread, and passes on what the person is told. Resumes by ``?offset=&epoch=``."""

    manner = DOOR
    leeway_s = LEEWAY_S

    async def opened(self) -> None:
        """Position first, then the count, which is that of the position's head, then what follows."""
        peer, who, (after, epoch) = self.peer, self.who, self.position()
        if peer is None:
            return
        channel = service.channel_of(who.person)
        unread = 0

        async def read() -> Replay:
            nonlocal unread
            found: Replay
            found, unread = await self.c.db.run(
                who, channels.opening, channel, after, epoch, notifications.unread_count
            )
            return found

        def greet(found: Replay) -> None:
            told = {
                "message": "connected",
                "user_id": who.user_id,
                "tenant_id": who.wanted,
                "recovered": found.recovered,
            }
            self.send("connection_established", told, channel=channel, offset=found.start, epoch=found.epoch)

        # Clients add one for each notification, so the count comes after those that were missed.
        await self.hub.join(peer, channel, read, greet, lambda: self.send("unread_count", {"count": unread}))


routes = [("/ws/notifications/", NotificationsDoor)]
