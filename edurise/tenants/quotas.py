"""Quotas: what is used of what a plan limits, exact under concurrency.

An amount is *reserved* before the work, *settled* to what it came to, or *released*. A reservation counts as used, so
that many at once never exceed the limit together; one whose work died is released when it expires. Each counter is one
row, changed by a statement that refuses to pass the limit, always in the order organization, course, person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise.db import add_row, moment, rows
from edurise.errors import Conflict, Limited, NotFound
from edurise.ports import Charge, Hold, QuotaState
from edurise.tenants import queries
from edurise.tenants.limits import Limits, PlanLimits
from edurise.tenants.models import QuotaHold, QuotaUsage

STORAGE = "storage_bytes"
DOWNLOADS = "downloads"
USERS = "users"
COURSES = "courses"
AI_QUESTIONS = "ai_questions"
SOCKETS = "sockets"
DAILY = (DOWNLOADS, AI_QUESTIONS)
_COUNTED = (USERS, COURSES, STORAGE, SOCKETS)
_SCOPES = ("organization", "course", "person")
_MIB = 1024 * 1024
_NO_LIMIT = 2**62
_NEAR = 0.8

_TAKE = text("""
INSERT INTO quota_usage AS q (tenant_id, resource, scope, subject_id, used)
SELECT :tenant, :resource, :scope, :subject, :amount WHERE :amount <= :limit
ON CONFLICT ON CONSTRAINT pk_quota_usage DO UPDATE SET used = q.used + :amount WHERE q.used + :amount <= :limit
RETURNING used
""")
_CORRECT = text("""
UPDATE quota_usage SET used = used + :amount
 WHERE tenant_id = :tenant AND resource = :resource AND scope = :scope AND subject_id = :subject
""")
_HELD = text("SELECT amount FROM quota_holds WHERE id = :id FOR UPDATE")
_HOLD = text("""
INSERT INTO quota_holds (id, tenant_id, resource, amount, expires_at)
VALUES (:id, :tenant, :resource, :amount, :until)
ON CONFLICT ON CONSTRAINT pk_quota_holds DO UPDATE SET amount = excluded.amount, expires_at = excluded.expires_at
""")
_PROLONGED = text("""
WITH kept AS (UPDATE quota_holds SET expires_at = :until WHERE id = ANY(:ids) RETURNING id, tenant_id, resource)
SELECT k.id, k.resource, o.plan, o.subdomain, q.used
  FROM kept k
  JOIN organizations o ON o.id = k.tenant_id
  JOIN quota_usage q ON q.tenant_id = k.tenant_id AND q.resource = k.resource
   AND q.scope = 'organization' AND q.subject_id = k.tenant_id
""")
_FORGET = text("DELETE FROM quota_usage WHERE resource >= :first AND resource < :before")


@dataclass(frozen=True)
class _Counter:
    scope: str
    subject_id: UUID
    limit: int


class PlanQuotas:
    """The ``Quotas`` port over PostgreSQL, with the limits of each organization's plan."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def limits(self, session: Session, tenant_id: UUID) -> PlanLimits:
        """What the plan of an organization allows. Raises NotFound."""
        found = queries.organization(session, tenant_id)
        if found is None:
            raise NotFound("ORGANIZATION_NOT_FOUND")
        return self._limits.of(found["plan"], found["subdomain"])

    def reserve(
        self, session: Session, tenant_id: UUID, resource: str, amount: int, charge: Charge, until: datetime
    ) -> UUID:
        """Reserve ``amount`` for everybody that ``charge`` names; returns the reservation.

        Raises Conflict (QUOTA_EXCEEDED) with ``scope``, ``used``, ``limit`` and ``wanted`` where one has less left.
        """
        for one in self._counters(session, tenant_id, resource, charge):
            _take(session, tenant_id, resource, one, amount)
        hold_id = uuid7()
        add_row(
            session,
            QuotaHold,
            id=hold_id,
            tenant_id=tenant_id,
            resource=resource,
            course_id=charge.course_id,
            person_id=charge.person_id,
            amount=amount,
            expires_at=until,
        )
        return hold_id

    def settle(self, session: Session, hold_id: UUID, amount: int) -> None:
        """End a reservation: ``amount`` is what is used from now on.

        Raises NotFound for one that has expired or was ended, and Conflict (QUOTA_EXCEEDED) where more is used than
        was reserved and no more is left.
        """
        hold = _ended(session, hold_id)
        if hold is None:
            raise NotFound
        more = amount - hold.amount
        for one in self._counters(session, hold.tenant_id, hold.resource, hold.charge):
            if more > 0:
                _take(session, hold.tenant_id, hold.resource, one, more)
            elif more < 0:
                _correct(session, hold.tenant_id, hold.resource, one, more)

    def release(self, session: Session, hold_id: UUID) -> None:
        """End a reservation of which nothing was used; does nothing for one that has ended."""
        hold = _ended(session, hold_id)
        if hold is not None:
            self.give_back(session, hold.tenant_id, hold.resource, hold.amount, hold.charge)

    def hold(
        self, session: Session, tenant_id: UUID, resource: str, hold_id: UUID, least: int, spare: int, until: datetime
    ) -> int:
        """Let a reservation, which begins with the first call, be of ``least`` and last until a time; returns what it
        is of, which is less where the plan has less left.

        Where much is left it grows by up to ``spare``, never by more than a quarter of what is left: the nearer the
        limit, the less lies idle. Without ``spare`` what is held beyond ``least`` is given back. Raises NotFound where
        more is wanted of a closed organization.
        """
        held: int = session.connection().execute(_HELD, {"id": hold_id}).scalar() or 0
        wanted, one = least - held, _Counter("organization", tenant_id, 0)
        if wanted > 0 or spare > 0:
            (one,) = self._counters(session, tenant_id, resource, Charge())
            used = session.connection().execute(_TAKE, _values(tenant_id, resource, one, 0)).scalar()  # and lock it
            left = 0 if used is None else one.limit - used
            wanted = max(0, min(left, max(wanted, min(spare, left // 4))))
        if wanted:
            _correct(session, tenant_id, resource, one, wanted)
        amount = held + wanted
        if amount:
            values = {"id": hold_id, "tenant": tenant_id, "resource": resource, "amount": amount, "until": until}
            session.connection().execute(_HOLD, values)
        else:
            session.connection().execute(delete(QuotaHold).where(QuotaHold.id == hold_id))
        return amount

    def prolong(self, session: Session, hold_ids: Collection[UUID], until: datetime) -> dict[UUID, int]:
        """Let reservations last until a time; returns how much their organizations have left, by reservation, without
        those that have expired (system role). One statement."""
        found = rows(session, _PROLONGED, {"ids": list(hold_ids), "until": until})
        left: dict[UUID, int] = {}
        for row in found:
            plan = self._limits.of(row["plan"], row["subdomain"])
            left[row["id"]] = self._limits_by_scope(plan, row["resource"])["organization"] - row["used"]
        return left

    def give_back(self, session: Session, tenant_id: UUID, resource: str, amount: int, charge: Charge) -> None:
        """What was settled once is used no more."""
        for scope, subject in _subjects(tenant_id, charge):
            _correct(session, tenant_id, resource, _Counter(scope, subject, 0), -amount)

    def transfer(
        self, session: Session, tenant_id: UUID, resource: str, amount: int, before: Charge, after: Charge
    ) -> None:
        """Charge what is used to others of the same organization. Raises Conflict (QUOTA_EXCEEDED)."""
        left = set(_subjects(tenant_id, before)) - set(_subjects(tenant_id, after))
        entered = [
            one
            for one in self._counters(session, tenant_id, resource, after)
            if (one.scope, one.subject_id) not in set(_subjects(tenant_id, before))
        ]
        changes = [*((one, amount) for one in entered), *((_Counter(*one, 0), -amount) for one in left)]
        # In one order whatever the direction: two that move things in each other's way must not wait for each other.
        for one, more in sorted(changes, key=lambda change: (_SCOPES.index(change[0].scope), change[0].subject_id)):
            if more > 0:
                _take(session, tenant_id, resource, one, more)
            else:
                _correct(session, tenant_id, resource, one, more)

    def use(self, session: Session, tenant_id: UUID, resource: str, amount: int = 1, *, beyond: bool = False) -> None:
        """Count what an organization uses from now on. ``beyond``: even above the limit, for what was paid already.

        Raises Conflict (PLAN_LIMIT_REACHED).
        """
        (one,) = self._counters(session, tenant_id, resource, Charge())
        _take(session, tenant_id, resource, replace(one, limit=_NO_LIMIT) if beyond else one, amount)

    def spend(self, session: Session, tenant_id: UUID, resource: str, amount: int = 1) -> None:
        """Count what an organization may do so often a day, in UTC.

        Raises Limited (DAILY_LIMIT_REACHED), which says when the next day begins.
        """
        now = moment(session)
        limit = _daily(self.limits(session, tenant_id), resource)
        today = _Counter("organization", tenant_id, limit)
        if not _taken(session, tenant_id, f"{resource}.{now:%Y%m%d}", today, amount):
            midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
            raise Limited("DAILY_LIMIT_REACHED", retry_after_s=(midnight - now).total_seconds(), most=limit)

    def state(self, session: Session, tenant_id: UUID, resource: str, charge: Charge) -> list[QuotaState]:
        """What is used, and the limit, for each whom ``charge`` names; two statements."""
        counters = self._counters(session, tenant_id, resource, charge)
        query = select(QuotaUsage.scope, QuotaUsage.subject_id, QuotaUsage.used).where(
            QuotaUsage.tenant_id == tenant_id,
            QuotaUsage.resource == resource,
            QuotaUsage.subject_id.in_([one.subject_id for one in counters]),
        )
        used = {(row["scope"], row["subject_id"]): row["used"] for row in rows(session, query)}
        return [
            QuotaState(one.scope, one.subject_id, used.get((one.scope, one.subject_id), 0), one.limit)
            for one in counters
        ]

    def overview(self, session: Session, tenant_id: UUID) -> list[dict[str, Any]]:
        """``{resource, used, limit, remaining, is_near}`` of everything that the plan limits: what is there, and for
        what counts by the day today's. ``is_near`` from four fifths on. Three statements."""
        plan, today = self.limits(session, tenant_id), f"{moment(session):%Y%m%d}"
        limits = {
            **{name: self._limits_by_scope(plan, name)["organization"] for name in _COUNTED},
            **{f"{name}.{today}": _daily(plan, name) for name in DAILY},
        }
        query = select(QuotaUsage.resource, QuotaUsage.used).where(
            QuotaUsage.tenant_id == tenant_id,
            QuotaUsage.scope == "organization",
            QuotaUsage.resource.in_(list(limits)),
        )
        used = {row["resource"]: row["used"] for row in rows(session, query)}
        return [
            {
                "resource": name.partition(".")[0],
                "used": used.get(name, 0),
                "limit": limit,
                "remaining": max(0, limit - used.get(name, 0)),
                "is_near": used.get(name, 0) >= _NEAR * limit,
            }
            for name, limit in limits.items()
        ]

    def release_expired(self, session: Session, most: int = 1000) -> int:
        """Release the reservations whose time is over, and forget the counts of the days before yesterday; returns how
        many were released (system role)."""
        oldest = moment(session) - timedelta(days=1)
        for resource in DAILY:
            session.connection().execute(_FORGET, {"first": f"{resource}.", "before": f"{resource}.{oldest:%Y%m%d}"})
        query = (
            select(QuotaHold.id, QuotaHold.tenant_id)
            .where(QuotaHold.expires_at < moment(session))
            .order_by(QuotaHold.expires_at)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        # One organization after the other, in the same order by everybody: their counters stay locked until the end.
        expired = sorted(session.execute(query).all(), key=lambda hold: hold.tenant_id)
        for hold_id, _ in expired:
            self.release(session, hold_id)
        return len(expired)

    def _counters(self, session: Session, tenant_id: UUID, resource: str, charge: Charge) -> list[_Counter]:
        allowed = self._limits_by_scope(self.limits(session, tenant_id), resource)
        return [_Counter(scope, subject, allowed[scope]) for scope, subject in _subjects(tenant_id, charge)]

    @staticmethod
    def _limits_by_scope(plan: PlanLimits, resource: str) -> dict[str, int]:
        if resource == STORAGE:
            return {
                "organization": plan.storage_bytes,
                "course": plan.course_storage_bytes,
                "person": plan.person_storage_bytes,
            }
        counted = {USERS: plan.users, COURSES: plan.courses, SOCKETS: plan.sockets}
        if resource not in counted:
            raise ValueError(f"nothing limits {resource}")
        return {"organization": counted[resource]}


def _subjects(tenant_id: UUID, charge: Charge) -> Iterator[tuple[str, UUID]]:
    yield "organization", tenant_id
    if charge.course_id is not None:
        yield "course", charge.course_id
    if charge.person_id is not None:
        yield "person", charge.person_id


def _values(tenant_id: UUID, resource: str, one: _Counter, amount: int) -> dict[str, Any]:
    return {
        "tenant": tenant_id,
        "resource": resource,
        "scope": one.scope,
        "subject": one.subject_id,
        "amount": amount,
        "limit": one.limit,
    }


def _take(session: Session, tenant_id: UUID, resource: str, one: _Counter, amount: int) -> None:
    if not _taken(session, tenant_id, resource, one, amount):
        query = select(QuotaUsage.used).where(
            QuotaUsage.tenant_id == tenant_id,
            QuotaUsage.resource == resource,
            QuotaUsage.scope == one.scope,
            QuotaUsage.subject_id == one.subject_id,
        )
        used = session.scalar(query) or 0
        if resource != STORAGE:
            raise Conflict("PLAN_LIMIT_REACHED", resource=resource, used=used, limit=one.limit)
        raise Conflict(
            "QUOTA_EXCEEDED",
            scope=one.scope,
            used=used,
            limit=one.limit,
            wanted=amount,
            used_mb=used // _MIB,
            limit_mb=one.limit // _MIB,
        )


def _taken(session: Session, tenant_id: UUID, resource: str, one: _Counter, amount: int) -> bool:
    session.flush()
    return session.connection().execute(_TAKE, _values(tenant_id, resource, one, amount)).first() is not None


def _daily(plan: PlanLimits, resource: str) -> int:
    daily = {DOWNLOADS: plan.downloads_per_day, AI_QUESTIONS: plan.ai_questions_per_day}
    if resource not in daily:
        raise ValueError(f"nothing limits {resource} by the day")
    return daily[resource]


def _correct(session: Session, tenant_id: UUID, resource: str, one: _Counter, amount: int) -> None:
    session.flush()
    session.connection().execute(_CORRECT, _values(tenant_id, resource, one, amount))


def _ended(session: Session, hold_id: UUID) -> Hold | None:
    """Delete a reservation; of two that end one only the first finds it."""
    session.flush()
    found = (
        session.connection()
        .execute(
            delete(QuotaHold)
            .where(QuotaHold.id == hold_id)
            .returning(
                QuotaHold.tenant_id, QuotaHold.resource, QuotaHold.amount, QuotaHold.course_id, QuotaHold.person_id
            )
        )
        .first()
    )
    if found is None:
        return None
    return Hold(found.tenant_id, found.resource, found.amount, Charge(found.course_id, found.person_id))
