"""Queries of downloads."""

from __future__ import annotations

from schemas.base import Choice, QuerySchema


class DownloadQuery(QuerySchema):
    """Whether a browser is to show or to save what it gets."""

    disposition = Choice(["attachment", "inline"], load_default="attachment")
