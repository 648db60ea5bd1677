"""Permissions of enrollments."""

from __future__ import annotations

from edurise.authz import Grade, permission


class Enrollments:
    """Enrolling asks for a person who can see the course; whether it must be paid for is the service's to say."""

    ENROLL = permission("enrollments.enroll", Grade.PERSON)
    MINE = permission("enrollments.mine", Grade.PERSON)
