"""Answers of probes."""

from __future__ import annotations

from schemas.base import Choice, OutSchema, Text


class AliveOut(OutSchema):
    """The loop turns."""

    status = Choice(["alive"])


class ReadyOut(OutSchema):
    """What was asked, and that all of it answers."""

    database = Choice(["ok"])
    redis = Choice(["ok"])
    revision = Text()
