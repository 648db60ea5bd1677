"""Profiles, preferences and one's own history."""

from __future__ import annotations

from typing import Any

from schemas.base import (
    Bool,
    Choice,
    Day,
    Id,
    Instant,
    Int,
    JsonObject,
    ListOf,
    Nested,
    Number,
    OutSchema,
    StrictSchema,
    Text,
    Url,
)
from schemas.organizations import LANGUAGE, Zone

EXPERIENCE = ["", "1-2", "3-5", "6-10", "10+"]


class Phone(Text):
    """A telephone number as people write it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max=40, pattern=r"(?:\+?[0-9][0-9 ()./-]{2,38})?", **options)


class ProfileIn(StrictSchema):
    """What a person says of themselves. ``avatar`` may be sent back as it was read; another picture is uploaded."""

    bio = Text(max=5000, lines=True)
    phone_number = Phone()
    date_of_birth = Day(allow_none=True)
    timezone = Zone()
    language = Text(pattern=LANGUAGE, max=20)
    avatar = Text(max=2000, allow_none=True)


class UserProfileOut(OutSchema):
    """The contract's UserProfile. ``tenant`` is the acting organization, if the person belongs to it."""

    id = Id()
    avatar = Text(max=2000, allow_none=True)
    phone_number = Text(max=40)
    bio = Text(max=5000, lines=True)
    timezone = Text(max=64)
    language = Text(max=20)
    tenant = Id(allow_none=True)
    tenant_name = Text()
    date_of_birth = Day(allow_none=True)


class Year(Text):
    """A year, of which a number becomes a text."""

    def read(self, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return super().read(value)

    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [super().json_schema(), {"type": "integer", "minimum": 0, "maximum": 9999}]}


class DegreeIn(StrictSchema):
    """One degree."""

    institution = Text(max=200, load_default="")
    degree = Text(max=200, load_default="")
    year = Year(max=20, load_default="")


class LinkField(Url):
    """A link, or nothing."""

    def read(self, value: Any) -> str:
        return "" if value == "" else super().read(value)

    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": ""}, super().json_schema()]}


class SocialLinksIn(StrictSchema):
    """Where else somebody is found."""

    website = LinkField(load_default="")
    linkedin = LinkField(load_default="")
    twitter = LinkField(load_default="")
    github = LinkField(load_default="")


class OwnProfileIn(StrictSchema):
    """A teacher's profile."""

    first_name = Text(min=1, max=100)
    last_name = Text(min=1, max=100)
    phone = Phone()
    title = Text(max=200)
    bio = Text(max=5000, lines=True)
    experience = Choice(EXPERIENCE)
    expertise = Text(max=1000)
    education = ListOf(Nested(DegreeIn), max=20)
    social_links = Nested(SocialLinksIn)


class OwnProfileOut(OutSchema):
    """A teacher's profile with the figures of their published courses."""

    id = Id()
    first_name = Text()
    last_name = Text()
    avatar = Text(max=2000, allow_none=True)
    phone = Text(max=40)
    title = Text(max=200)
    bio = Text(max=5000, lines=True)
    experience = Choice(EXPERIENCE)
    expertise = Text(max=1000)
    education = ListOf(JsonObject(), max=20)
    social_links = JsonObject()
    total_students = Int()
    total_courses = Int()
    average_rating = Number(min=0, allow_none=True)


class PreferencesIn(StrictSchema):
    """The preferences to change."""

    email_notifications = Bool()
    push_notifications = Bool()
    marketing_emails = Bool()
    language = Text(pattern=LANGUAGE, max=20)
    timezone = Zone()
    theme = Choice(["light", "dark", "auto"])


class PreferencesOut(OutSchema):
    """All preferences."""

    email_notifications = Bool()
    push_notifications = Bool()
    marketing_emails = Bool()
    language = Text(max=20)
    timezone = Text(max=64)
    theme = Choice(["light", "dark", "auto"])


class ActOut(OutSchema):
    """Something that one did."""

    id = Id()
    action = Text(max=100)
    timestamp = Instant()
    ip_address = Text(max=64)
    user_agent = Text(max=300)
    details = JsonObject(max_bytes=1_048_576)
