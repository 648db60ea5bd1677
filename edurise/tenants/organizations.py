"""Commands on organizations: founded and closed by the platform, furnished by their administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit
from edurise.authz import Grade, Principal
from edurise.db import first, flush_unique, moment, quotas
from edurise.entering import stand
from edurise.errors import Conflict, Forbidden, Invalid, NotFound, Problem
from edurise.ports import Charge
from edurise.tenants import queries, settings
from edurise.tenants.models import Organization
from edurise.tenants.quotas import COURSES

RESERVED = frozenset(
    (
        *("admin", "api", "app", "assets", "auth", "blog", "cdn", "dashboard", "docs", "help", "live", "login", "mail"),
        *("main", "media", "static", "status", "support", "test", "webhooks", "ws", "www"),
    )
)
"""Subdomains that would be mistaken for a part of the platform."""
FURNISHED = ("name", "subdomain", "description", "primary_color", "secondary_color", "timezone", "language")
"""What an administrator changes of their organization."""
PREMIUM = "enterprise"
"""What a form that knows a plan ``premium`` is given."""
_TAKEN = Conflict("SUBDOMAIN_TAKEN")


def found(session: Session, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Found an organization (system role); returns it.

    Raises Conflict (SUBDOMAIN_TAKEN), Invalid for a reserved subdomain.
    """
    now = moment(session)
    made = Organization(id=uuid7(), created_at=now, updated_at=now)
    _fill(made, data)
    session.add(made)
    flush_unique(session, on="uq_organizations_subdomain", raises=_TAKEN)
    audit.write(session, who, "organization.founded", "organization", made.id, plan=made.plan)
    return one(session, made.id)


def change(session: Session, who: Principal, tenant_id: UUID, data: Mapping[str, Any]) -> dict[str, Any]:
    """Change any organization, its plan, its currency and whether it is open included (system role); returns it.

    Raises NotFound, Conflict (SUBDOMAIN_TAKEN, MAIN_STAYS, CURRENCY_STAYS), Invalid for a reserved subdomain.
    """
    # FOR NO KEY UPDATE: whoever makes a first course holds the counter that is asked for below, and refers to this row.
    query = select(Organization).where(Organization.id == tenant_id).with_for_update(key_share=True)
    changed = session.scalars(query).one_or_none()
    if changed is None:
        raise NotFound("ORGANIZATION_NOT_FOUND")
    if tenant_id == queries.MAIN and (data.get("is_active") is False or "subdomain" in data):
        raise Conflict("MAIN_STAYS")
    if data.get("currency", changed.currency) != changed.currency:
        _refuse_priced(session, tenant_id)
    _fill(changed, data)
    changed.updated_at = moment(session)
    flush_unique(session, on="uq_organizations_subdomain", raises=_TAKEN)
    audit.write(session, who, "organization.changed", "organization", tenant_id, fields=sorted(data))
    return one(session, tenant_id)


def close(session: Session, who: Principal, tenant_id: UUID) -> None:
    """Close an organization (system role): nobody gets anything there until it is opened again. Its rows stay, for
    people have paid and learned there. A repeat changes nothing. Raises NotFound, Conflict (MAIN_STAYS)."""
    change(session, who, tenant_id, {"is_active": False})


def furnish(session: Session, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Change the acting organization; returns it. Raises as ``change``."""
    changed = session.get_one(Organization, who.tenant)
    if changed.id == queries.MAIN and data.get("subdomain", changed.subdomain) != changed.subdomain:
        raise Conflict("MAIN_STAYS")
    _fill(changed, {name: data[name] for name in FURNISHED if name in data})
    changed.updated_at = moment(session)
    flush_unique(session, on="uq_organizations_subdomain", raises=_TAKEN)
    audit.write(session, who, "organization.changed", "organization", changed.id, fields=sorted(data))
    return one(session, changed.id)


def show_logo(session: Session, who: Principal, path: str | None) -> None:
    """Take a public picture as the logo of the acting organization, or none."""
    changed = session.get_one(Organization, who.tenant)
    changed.logo_path, changed.updated_at = path, moment(session)
    audit.write(session, who, "organization.logo_changed", "organization", changed.id)


def current(session: Session, who: Principal) -> dict[str, Any]:
    """The acting organization as it is shown. Raises NotFound."""
    return one(session, who.tenant)


def one(session: Session, tenant_id: UUID) -> dict[str, Any]:
    """An organization as it is shown, also a closed one. Raises NotFound."""
    return queries.shown(session, row(session, tenant_id))


def row(session: Session, tenant_id: UUID) -> dict[str, Any]:
    """An organization's columns, also of a closed one. Raises NotFound."""
    session.flush()
    known = first(session, select(*queries.ORGANIZATION).where(Organization.id == tenant_id))
    if known is None:
        raise NotFound("ORGANIZATION_NOT_FOUND")
    return known


def settings_of(session: Session, who: Principal) -> dict[str, Any]:
    """Every setting of the acting organization, under both spellings. Raises NotFound."""
    return _told(row(session, who.tenant)["settings"])


def change_settings(session: Session, who: Principal, given: Mapping[str, Any]) -> dict[str, Any]:
    """Change settings of the acting organization, under either spelling; returns all.

    Raises Invalid with each fault, and Forbidden (EMAIL_NOT_VERIFIED, OTP_REQUIRED) where the caller would shut
    themselves out.
    """
    chosen = settings.checked(given)
    changed = session.get_one(Organization, who.tenant, with_for_update=True)
    if "platform" in chosen.get("otp_roles", ()) and changed.id != queries.MAIN:
        raise Invalid(errors={"otp_roles": [Problem("bad_choice", {"choices": list(settings.ROLES)})]})
    changed.settings = {**changed.settings, **chosen}
    changed.updated_at = moment(session)
    audit.write(session, who, "organization.settings_changed", "organization", changed.id, fields=sorted(chosen))
    session.flush()
    _stay_inside(session, who)
    return _told(changed.settings)


def limits(session: Session, who: Principal) -> list[dict[str, Any]]:
    """What the plan of the acting organization allows, and what of it is used: ``{resource, used, limit, remaining,
    is_near}`` each."""
    return quotas(session).overview(session, who.tenant)


def _stay_inside(session: Session, who: Principal) -> None:
    """Refuse settings under which whoever makes them would be let in no more."""
    standing = stand(session, who)
    if standing.has(Grade.UNVERIFIED):
        raise Forbidden("EMAIL_NOT_VERIFIED")
    if standing.has(Grade.UNPROVEN):
        raise Forbidden("OTP_REQUIRED")


def _refuse_priced(session: Session, tenant_id: UUID) -> None:
    """Raises Conflict (CURRENCY_STAYS) where there are courses, whose prices are in it. Who adds the first one waits
    for the counter that is held here."""
    counted = quotas(session)
    counted.use(session, tenant_id, COURSES, 0, beyond=True)
    (courses,) = counted.state(session, tenant_id, COURSES, Charge())
    if courses.used:
        raise Conflict("CURRENCY_STAYS")


def _told(stored: Mapping[str, Any]) -> dict[str, Any]:
    values = settings.effective(stored)
    return values | settings.in_camel(values)


def _fill(changed: Organization, data: Mapping[str, Any]) -> None:
    if data.get("subdomain") in RESERVED and data["subdomain"] != changed.subdomain:
        raise Invalid(errors={"subdomain": [Problem("subdomain_reserved")]})
    for name in (*FURNISHED, "currency", "is_active"):
        if name in data:
            setattr(changed, name, data[name])
    if "subscription_plan" in data:
        plan = data["subscription_plan"]
        changed.plan = PREMIUM if plan == "premium" else plan
