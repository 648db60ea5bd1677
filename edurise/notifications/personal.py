"""The personal data of notifications: what somebody was told, and what they want to be told."""

from __future__ import annotations

from edurise.notifications.models import Notification, NotificationPreferences
from edurise.personal import Fate, PersonalTable, declare, deleting, exporting

SECTION = "notifications"

declare(
    PersonalTable(
        section=SECTION,
        table="notifications",
        person=("user_id",),
        fate=Fate.DELETED,
        export=exporting(
            Notification.user_id,
            Notification.tenant_id,
            Notification.type,
            Notification.category,
            Notification.priority,
            Notification.title,
            Notification.message,
            Notification.data,
            Notification.created_at,
            Notification.read_at,
            order=(Notification.created_at, Notification.id),
        ),
        erase=deleting(Notification.user_id),
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="notification_preferences",
        person=("person_id",),
        fate=Fate.DELETED,
        export=exporting(
            NotificationPreferences.person_id,
            NotificationPreferences.chosen,
            NotificationPreferences.updated_at,
            order=(NotificationPreferences.person_id,),
        ),
        erase=deleting(NotificationPreferences.person_id),
    )
)
