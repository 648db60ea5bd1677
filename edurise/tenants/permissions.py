"""Permissions of organizations."""

from __future__ import annotations

from edurise.authz import Grade, permission


class Tenants:
    """Every logged-in person may see and choose their own organizations."""

    MINE = permission("tenants.mine", Grade.PERSON)
    SWITCH = permission("tenants.switch", Grade.SELF)


class Organizations:
    """Organizations: the platform founds and closes them, their administrators furnish them."""

    FOUND = permission("organizations.found", Grade.PLATFORM, fresh=True)
    CHANGE = permission("organizations.change", Grade.PLATFORM, fresh=True)
    CLOSE = permission("organizations.close", Grade.PLATFORM, fresh=True)
    FURNISH = permission("organizations.furnish", Grade.ADMINISTRATOR, Grade.PLATFORM)
    MEMBERS = permission("organizations.members", Grade.ADMINISTRATOR, Grade.PLATFORM)
    ENTER = permission("organizations.enter", Grade.MEMBER, Grade.PLATFORM)
