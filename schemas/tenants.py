"""Bodies and answers of organizations."""

from __future__ import annotations

from schemas.base import Bool, Choice, Id, Instant, Nested, OutSchema, StrictSchema, Text
from schemas.identity import TokensOut

PLANS = ["basic", "pro", "enterprise"]


class SwitchIn(StrictSchema):
    """The organization to act in."""

    tenant_id = Id(required=True, words=("main",))


class PlanRefOut(OutSchema):
    """A plan, by name."""

    name = Choice(PLANS)


class SubscriptionRefOut(OutSchema):
    """The plan of an organization in two of the three spellings that clients read. What billing would know is null."""

    id = Id()
    plan_name = Choice(PLANS)
    plan_display_name = Text(max=20)
    plan = Nested(PlanRefOut)
    status = Choice(["active", "inactive"])
    billing_cycle = Choice(["monthly", "yearly"], allow_none=True)
    current_period_end = Instant(allow_none=True)
    is_active = Bool()


class OrganizationOut(OutSchema):
    """The contract's Organization."""

    id = Id()
    name = Text()
    subdomain = Text(max=63)
    description = Text(max=5000)
    logo = Text(max=2000, allow_none=True)
    primary_color = Text(max=7)
    secondary_color = Text(max=7)
    is_active = Bool()
    subscription_plan = Choice(PLANS)
    subscription = Nested(SubscriptionRefOut)
    currency = Text(max=3)
    timezone = Text(max=64)
    language = Text(max=20)
    created_at = Instant()
    updated_at = Instant()


class SwitchOut(OutSchema):
    """The organization and the tokens that act in it from now on."""

    token = Text(max=2048)
    tenant = Nested(OrganizationOut)
    tokens = Nested(TokensOut)
