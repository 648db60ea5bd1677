"""Permissions of payments."""

from __future__ import annotations

from edurise.authz import ANYBODY, Grade, permission


class Payments:
    """A person starts a payment for a course that they can see, and confirms their own."""

    START = permission("payments.start", Grade.PERSON)
    CONFIRM = permission("payments.confirm", Grade.OWNER)
    WEBHOOK = ANYBODY  # the signature over the body is the permission
