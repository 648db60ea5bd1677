"""What a person wants to be told, and how. Two clients know two sets of keys; both are answered, and merged.

``email_notifications`` and ``push_notifications`` are the account's own (``identity.preferences``). Receipts by mail,
and what concerns the safety of files and accounts, are sent whatever somebody prefers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, column, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import insert_missing, moment, rows, scalar
from edurise.identity import preferences as accounts
from edurise.notifications.models import NotificationPreferences
from edurise.tenants import organizations, settings

CATEGORIES = ("assignment", "grade", "live_class", "course", "system", "announcement", "reminder")
DEFAULTS: Mapping[str, Any] = {
    "sound_enabled": True,
    "browser_notifications": True,
    "quiet_hours_enabled": False,
    "quiet_hours_start": "22:00",
    "quiet_hours_end": "07:00",
    "categories": dict.fromkeys(CATEGORIES, True),
    "course_enrollment_notifications": True,
    "class_reminder_notifications": True,
    "assignment_due_notifications": True,
    "payment_notifications": True,
    "system_notifications": True,
}
_OF_ACCOUNT = ("email_notifications", "push_notifications")
_CHOSEN = select(NotificationPreferences.chosen).where(NotificationPreferences.person_id == bindparam("id"))

# Who tells something to a whole class is none of it, and sees nobody's row: the function shows what members chose.
_CHOICES = select(
    func.notification_choices(bindparam("people", type_=ARRAY(Uuid()))).table_valued(
        column("person_id", Uuid()), column("chosen", JSONB())
    )
)


def own(session: Session, who: Principal) -> dict[str, Any]:
    """Everything that the caller can choose, with what counts now."""
    account = accounts.own(session, who)
    return _merged(_chosen(session, who.person)) | {name: account[name] for name in _OF_ACCOUNT}


def change(session: Session, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Change what is named, categories one by one; returns everything."""
    accounts.change(session, who, {name: data[name] for name in _OF_ACCOUNT if name in data})
    insert_missing(session, NotificationPreferences, person_id=who.person, chosen={}, updated_at=moment(session))
    row = session.get_one(NotificationPreferences, who.person, with_for_update=True)
    chosen = {name: value for name, value in data.items() if name in DEFAULTS and name != "categories"}
    categories = {**row.chosen.get("categories", {}), **data.get("categories", {})}
    session.execute(
        update(NotificationPreferences)
        .where(NotificationPreferences.person_id == who.person)
        .values(chosen={**row.chosen, **chosen, "categories": categories}, updated_at=moment(session))
    )
    session.expire(row)
    return own(session, who)


def willing(session: Session, who: Principal, person_ids: Sequence[UUID], switch: str, category: str) -> Sequence[UUID]:
    """Which of these people want to be told what ``switch`` and ``category`` are about, in the same order; nobody,
    where their organization tells nothing. Two statements, however many they are.

    What the person of the hop chose counts, and what members of the acting organization did.
    """
    if not person_ids or not _tells(session, who):
        return []
    chosen = {row["person_id"]: row["chosen"] for row in rows(session, _CHOICES, {"people": list(person_ids)})}

    def wants(person_id: UUID) -> bool:
        merged = _merged(chosen.get(person_id, {}))
        return bool(merged[switch] and merged["categories"].get(category, True))

    return [one for one in person_ids if wants(one)]


def wants_mail(session: Session, who: Principal, person_id: UUID) -> bool:
    """Whether somebody wants e-mails that need not be sent, and their organization tells at all. The hop must be that
    person's."""
    return _tells(session, who) and bool(accounts.of_person(session, person_id)["email_notifications"])


def _tells(session: Session, who: Principal) -> bool:
    stored = organizations.row(session, who.tenant)["settings"]
    return bool(settings.effective(stored)["enable_notifications"])


def _chosen(session: Session, person_id: UUID) -> dict[str, Any]:
    found: dict[str, Any] | None = scalar(session, _CHOSEN, {"id": person_id})
    return found or {}


def _merged(chosen: Mapping[str, Any]) -> dict[str, Any]:
    return {**DEFAULTS, **chosen, "categories": {**DEFAULTS["categories"], **chosen.get("categories", {})}}
