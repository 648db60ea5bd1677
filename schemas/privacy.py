"""Bodies and answers about one's own data."""

from __future__ import annotations

from schemas.base import Instant, OutSchema, Password, StrictSchema


class DeleteAccountIn(StrictSchema):
    """The password once more; empty for somebody who has none and gave a second factor instead."""

    password = Password(min=0, load_default="")


class DeletionOut(OutSchema):
    """When the account is erased unless its person logs in before."""

    erase_after = Instant()
