"""One's own notifications."""

from __future__ import annotations

from uuid import UUID

from edurise.identity.permissions import Identity
from edurise.notifications import preferences, queries, service
from edurise.notifications.permissions import Notifications
from handlers.base import RestHandler
from handlers.guards import describe, permit
from schemas.base import EmptyIn
from schemas.notification_preferences import NotificationPreferencesIn, NotificationPreferencesOut
from schemas.notifications import MarkedOut, MarkReadIn, NotificationOut, NotificationQuery


class NotificationsHandler(RestHandler):
    """The list behind the bell."""

    @permit(Notifications.MINE)
    @describe(
        summary="One's own notifications, newest first",
        tags=["notifications"],
        query=NotificationQuery,
        out=NotificationOut,
        shape="page",
    )
    async def get(self) -> None:
        query = self.query(NotificationQuery)
        window = self.window(query)
        self.reply_page(await self.hop(queries.listing, query.get("type"), query.get("is_read"), window), window)


class MarkReadHandler(RestHandler):
    """One notification is read."""

    @permit(Notifications.MINE)
    @describe(summary="Mark a notification read", tags=["notifications"], body=MarkReadIn, out=NotificationOut)
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(MarkReadIn)
        self.reply(200, await self.hop(service.mark_read, id))


class MarkAllReadHandler(RestHandler):
    """All notifications are read."""

    @permit(Notifications.MINE)
    @describe(
        summary="Mark all one's notifications read", tags=["notifications"], body=EmptyIn, out=MarkedOut, shape="body"
    )
    async def post(self) -> None:
        self.body(EmptyIn)
        self.reply(200, await self.hop(service.mark_all_read))


class NotificationPreferencesHandler(RestHandler):
    """What one wants to be told."""

    @permit(Identity.ME)
    @describe(
        summary="What one wants to be told, in the keys of both clients",
        tags=["notifications"],
        out=NotificationPreferencesOut,
        shape="body",
    )
    async def get(self) -> None:
        self.reply(200, await self.hop(preferences.own))

    @permit(Identity.PREFER)
    @describe(
        summary="Change what one wants to be told; what is not named stays",
        tags=["notifications"],
        body=NotificationPreferencesIn,
        out=NotificationPreferencesOut,
        shape="body",
        errors=["SESSION_CONFINED"],
    )
    async def put(self) -> None:
        self.reply(200, await self.hop(preferences.change, self.body(NotificationPreferencesIn)))


routes = [
    ("/api/v1/notifications/preferences/", NotificationPreferencesHandler),
    ("/api/v1/notifications/", NotificationsHandler),
    ("/api/v1/notifications/mark_all_read/", MarkAllReadHandler),
    ("/api/v1/notifications/{id:uuid}/mark_read/", MarkReadHandler),
]
aliases = [("GET", "/api/v1/api/v1/notifications/", "/api/v1/notifications/")]
