"""Permissions of people and teacher applications."""

from __future__ import annotations

from edurise.authz import Grade, permission


class Identity:
    """One's own account."""

    ME = permission("identity.me", Grade.PERSON)
    RENAME = permission("identity.rename", Grade.SELF)
    SECOND_FACTOR = permission("identity.second_factor", Grade.SELF)
    PICTURE = permission("identity.picture", Grade.SELF)
    JOIN = permission("identity.join", Grade.SELF)
    HISTORY = permission("identity.history", Grade.SELF)
    PREFER = permission("identity.prefer", Grade.SELF)
    LOGOUT = permission("identity.logout", Grade.PERSON)
    CHANGE_PASSWORD = permission("identity.change_password", Grade.SELF, fresh=True)
    VERIFY = permission("identity.verify", Grade.SELF)
    CHANGE_ADDRESS = permission("identity.change_address", Grade.SELF, fresh=True)
    SESSIONS = permission("identity.sessions", Grade.SELF)


class Applications:
    """Teacher applications: applicants see their own, administrators decide over those of their organization."""

    LIST = permission("applications.list", Grade.PERSON)
    APPLY = permission("applications.apply", Grade.SELF)
    SEE = permission("applications.see", Grade.OWNER, Grade.ADMINISTRATOR, Grade.PLATFORM)
    CHANGE = permission("applications.change", Grade.OWNER, Grade.ADMINISTRATOR, Grade.PLATFORM)
    DECIDE = permission("applications.decide", Grade.ADMINISTRATOR, Grade.PLATFORM)


class People:
    """Members of an organization, for its administrators; anybody, for the platform's."""

    LIST = permission("people.list", Grade.ADMINISTRATOR, Grade.PLATFORM)
    INVITE = permission("people.invite", Grade.ADMINISTRATOR, Grade.PLATFORM)
    CHANGE = permission("people.change", Grade.ADMINISTRATOR, Grade.PLATFORM)
    REMOVE = permission("people.remove", Grade.ADMINISTRATOR, Grade.PLATFORM)
    PROMOTE = permission("people.promote", Grade.ADMINISTRATOR, Grade.PLATFORM, fresh=True)
    EXPORT = permission("people.export", Grade.ADMINISTRATOR, Grade.PLATFORM, fresh=True)
    RESET_FACTOR = permission("people.reset_factor", Grade.PLATFORM, fresh=True)
    EVERYBODY = permission("people.everybody", Grade.PLATFORM)


class Providers:
    """Identity providers of an organization. Whoever names one decides who is let in, so changes ask for a recent
    second factor of those who have one."""

    SEE = permission("providers.see", Grade.ADMINISTRATOR, Grade.PLATFORM)
    CHANGE = permission("providers.change", Grade.ADMINISTRATOR, Grade.PLATFORM, fresh=True)
