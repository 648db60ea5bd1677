"""Pictures of people and organizations."""

from __future__ import annotations

from schemas.base import Int, OutSchema, StrictSchema, Text
from schemas.files import FileContent
from schemas.organizations import COLOR, LANGUAGE, SUBDOMAIN, Zone

_LOGO = r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+|https?://[!-~]{1,2000}"


class AvatarForm(StrictSchema):
    """A picture (``multipart/form-data``)."""

    avatar = FileContent(required=True)


class AvatarOut(OutSchema):
    """Where the picture is now."""

    avatar_url = Text(max=2000)
    url = Text(max=2000)
    filename = Text()
    size = Int()
    content_type = Text(max=100)


class CurrentOrganizationPatch(StrictSchema):
    """What an administrator changes of their organization. ``logo`` is a ``data:`` URL, or the address that was
    read."""

    name = Text(min=1, max=200)
    subdomain = Text(pattern=SUBDOMAIN, max=63)
    description = Text(max=5000, lines=True)
    primary_color = Text(pattern=COLOR, max=7)
    secondary_color = Text(pattern=COLOR, max=7)
    timezone = Zone()
    language = Text(pattern=LANGUAGE, max=20)
    logo = Text(max=720_000, pattern=_LOGO, allow_none=True)
