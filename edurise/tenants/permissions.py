"""Permissions of organizations."""

from __future__ import annotations

from edurise.authz import Grade, permission


class Tenants:
    """Every logged-in person may see and choose their own organizations."""

    MINE = permission("tenants.mine", Grade.PERSON)
    SWITCH = permission("tenants.switch", Grade.SELF)
