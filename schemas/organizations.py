"""Organizations: bodies, queries and answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast
from zoneinfo import available_timezones

from marshmallow.fields import Field

from edurise.tenants.settings import SETTINGS
from schemas.base import (
    Bool,
    Choice,
    Coded,
    Email,
    Id,
    Instant,
    Int,
    ListOf,
    Nested,
    Number,
    OutSchema,
    PageQuery,
    QueryBool,
    QuerySchema,
    StrictSchema,
    Text,
    refuse,
)
from schemas.fields import INT8_MAX
from schemas.tenants import OrganizationOut

SUBDOMAIN = r"[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])"
COLOR = r"#[0-9A-Fa-f]{6}"
LANGUAGE = r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,2}"
_ZONES = frozenset(available_timezones())


class Zone(Text):
    """The name of a time zone of IANA's database: ``Europe/Berlin``."""

    def __init__(self, **options: object) -> None:
        super().__init__(min=1, max=64, **options)  # type: ignore[arg-type]  # Text's own options

    def read(self, value: object) -> str:
        name = super().read(value)
        if name not in _ZONES:
            refuse("bad_format")
        return name


class OrganizationListQuery(PageQuery):
    """What the list of organizations can be narrowed by. Closed ones are shown to the platform's administrators."""

    is_active = QueryBool(load_default=None)
    search = Text(max=200, load_default=None)
    ordering = Choice(["name", "-name", "created_at", "-created_at"], load_default=None)


class SubdomainQuery(QuerySchema):
    """The label before the platform's host name."""

    subdomain = Text(min=1, max=63, required=True)


class OrganizationIn(StrictSchema):
    """A new organization. ``premium`` is kept as ``enterprise``."""

    name = Text(min=1, max=200, required=True)
    subdomain = Text(pattern=SUBDOMAIN, max=63, required=True)
    subscription_plan = Choice(["basic", "pro", "enterprise", "premium"], load_default="basic")
    description = Text(max=5000, lines=True)
    primary_color = Text(pattern=COLOR, max=7)
    secondary_color = Text(pattern=COLOR, max=7)
    currency = Text(pattern="[A-Z]{3}", max=3)
    timezone = Zone()
    language = Text(pattern=LANGUAGE, max=20)


class OrganizationPatch(StrictSchema):
    """What the platform changes of an organization."""

    name = Text(min=1, max=200)
    subdomain = Text(pattern=SUBDOMAIN, max=63)
    subscription_plan = Choice(["basic", "pro", "enterprise", "premium"])
    description = Text(max=5000, lines=True)
    primary_color = Text(pattern=COLOR, max=7)
    secondary_color = Text(pattern=COLOR, max=7)
    currency = Text(pattern="[A-Z]{3}", max=3)
    timezone = Zone()
    language = Text(pattern=LANGUAGE, max=20)
    is_active = Bool()


class FiguredOrganizationOut(OrganizationOut):
    """An organization with its figures; what the reader may not see, and what nobody has measured, is null."""

    user_count = Int(allow_none=True)
    course_count = Int()
    total_students = Int()
    avg_rating = Number(min=0, allow_none=True)
    revenue = Number(allow_none=True)


class MarketplaceOrganizationOut(OutSchema):
    """An organization as the marketplace introduces it."""

    id = Id()
    name = Text()
    subdomain = Text(max=63)
    logo = Text(max=2000, allow_none=True)
    description = Text(max=5000, lines=True)
    primary_color = Text(max=7)
    secondary_color = Text(max=7)
    course_count = Int()
    total_students = Int()
    avg_rating = Number(min=0, allow_none=True)


class _UsersOut(OutSchema):
    total_users = Int()


class _CoursesOut(OutSchema):
    total_courses = Int()


class _EnrollmentsOut(OutSchema):
    total_enrollments = Int()


class _RevenueOut(OutSchema):
    total_revenue = Number()


class _StudentsOut(OutSchema):
    total_students = Int()
    total_enrollments = Int()


class _PerformanceOut(OutSchema):
    avg_rating = Number(min=0, allow_none=True)


class _FinanceOut(OutSchema):
    total_revenue = Number()
    currency = Text(max=3)


class OrganizationStatsOut(OutSchema):
    """The same figures under the names of three readers."""

    user_stats = Nested(_UsersOut)
    course_stats = Nested(_CoursesOut)
    enrollment_stats = Nested(_EnrollmentsOut)
    revenue_stats = Nested(_RevenueOut)
    course_statistics = Nested(_CoursesOut)
    student_statistics = Nested(_StudentsOut)
    performance_metrics = Nested(_PerformanceOut)
    financial_statistics = Nested(_FinanceOut)
    total_users = Int()
    active_users = Int()
    total_courses = Int()
    total_enrollments = Int()
    total_revenue = Number()


class InstructorStatsOut(OutSchema):
    """The public figures of whoever teaches."""

    total_courses = Int()
    total_students = Int()
    avg_rating = Number(min=0, allow_none=True)


class MemberOut(OutSchema):
    """A member of an organization."""

    id = Id()
    email = Email()
    full_name = Text(max=300)
    first_name = Text()
    last_name = Text()
    role = Choice(["student", "teacher", "admin"])
    is_active = Bool()
    avatar = Text(max=2000, allow_none=True)
    created_at = Instant()
    last_seen = Instant(allow_none=True)


class LimitOut(OutSchema):
    """One resource of a plan."""

    resource = Choice(["users", "courses", "storage_bytes", "sockets", "downloads", "ai_questions"])
    used = Int(max=INT8_MAX)
    limit = Int(max=INT8_MAX)
    remaining = Int(max=INT8_MAX)
    is_near = Bool()


class SwitchedOut(OutSchema):
    """The organization to name in ``X-Tenant-ID`` from now on, and tokens that it moves."""

    tenant_id = Id()
    access = Text(max=2048)
    refresh = Text(max=200)


_IN: dict[str, Callable[[], Coded]] = {
    "allow_self_registration": Bool,
    "require_email_verification": Bool,
    "enable_notifications": Bool,
    "session_idle_minutes": partial(Int, min=15, max=43_200, allow_none=True),
    "session_absolute_hours": partial(Int, min=1, max=8_760, allow_none=True),
    "otp_roles": lambda: ListOf(Choice(["student", "teacher", "admin", "platform"]), max=4),
    "languages": lambda: ListOf(Text(max=20), min=1, max=50),
}
_OUT: dict[str, Callable[[], Coded]] = {
    **_IN,
    "session_idle_minutes": partial(Int, allow_none=True),
    "session_absolute_hours": partial(Int, allow_none=True),
    "otp_roles": lambda: ListOf(Text(max=20)),
    "languages": lambda: ListOf(Text(max=20)),
}


def _in_both_spellings(fields: dict[str, Callable[[], Coded]]) -> dict[str, Field[Any]]:
    return {spelled: make() for name, make in fields.items() for spelled in (name, SETTINGS[name].camel)}


SettingsIn = cast("type[StrictSchema]", StrictSchema.from_dict(_in_both_spellings(_IN), name="SettingsIn"))
"""The settings to change, in either spelling."""
SettingsOut = cast("type[OutSchema]", OutSchema.from_dict(_in_both_spellings(_OUT), name="SettingsOut"))
"""Every setting, in both spellings."""
