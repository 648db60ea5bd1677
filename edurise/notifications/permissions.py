"""Permissions of notifications: everybody has their own, and row-level security shows nobody another's."""

from __future__ import annotations

from edurise.authz import Grade, permission


class Notifications:
    """One's own notifications. They are followed over all organizations, so not in a session that is confined to
    one."""

    MINE = permission("notifications.mine", Grade.PERSON)
    FOLLOW = permission("notifications.follow", Grade.SELF)
