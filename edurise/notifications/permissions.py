"""Permissions of notifications: everybody has their own, and row-level security shows nobody another's."""

from __future__ import annotations

from edurise.authz import Grade, permission


class Notifications:
    """One's own notifications."""

    MINE = permission("notifications.mine", Grade.PERSON)
