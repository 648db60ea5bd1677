"""Permissions on one's own data. Only a log-in by one's own means may use them, and who has a second factor gives it
anew."""

from __future__ import annotations

from edurise.authz import Grade, permission


class Privacy:
    """One's own data, over all organizations."""

    EXPORT = permission("privacy.export", Grade.SELF, fresh=True)
    DELETE_ACCOUNT = permission("privacy.delete_account", Grade.SELF, fresh=True)
