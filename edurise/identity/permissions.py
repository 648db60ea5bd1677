"""Permissions of people and teacher applications."""

from __future__ import annotations

from edurise.authz import Grade, permission


class Identity:
    """One's own account."""

    ME = permission("identity.me", Grade.PERSON)
    LOGOUT = permission("identity.logout", Grade.PERSON)


class Applications:
    """Teacher applications: applicants see their own, administrators decide over those of their organization."""

    LIST = permission("applications.list", Grade.PERSON)
    DECIDE = permission("applications.decide", Grade.ADMINISTRATOR, Grade.PLATFORM)


class Providers:
    """Identity providers of an organization. Whoever names one decides who is let in, so changes ask for a recent
    second factor of those who have one."""

    SEE = permission("providers.see", Grade.ADMINISTRATOR, Grade.PLATFORM)
    CHANGE = permission("providers.change", Grade.ADMINISTRATOR, Grade.PLATFORM, fresh=True)
