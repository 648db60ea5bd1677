"""A copy of everything that is stored of a person, over all organizations, by the registry of personal data.

It is made as the system role, so nothing decides what is in it but the person's id: the caller's own. One statement for
each table, whatever the number of rows; each table is written as JSON before the next is read, in small pieces, so that
neither memory nor other threads pay for a person with much.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.orm import Session

from edurise import audit
from edurise.authz import Principal
from edurise.db import moment
from edurise.identity import leaving
from edurise.personal import Fate, in_order
from edurise.tenants import queries as tenants

MOST = 50_000
"""Rows of one table in an export; where there are more, it says so."""
_PIECE = 500
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def own(session: Session, who: Principal, most: int = MOST) -> bytes:
    """The caller's data as a JSON document; that they took it is audited."""
    audit.write(session, who, "account.exported", "person", who.person)
    return document(session, who.person, most)


def of_address(session: Session, email: str) -> str | None:
    """The data of the person of an address, for an operator who answers a letter; None for an unknown address."""
    person_id = leaving.owner_of(session, email)
    if person_id is None:
        return None
    audit.write(session, Principal(), "account.exported", "person", person_id)
    return document(session, person_id).decode()


def document(session: Session, person_id: UUID, most: int = MOST) -> bytes:
    """``{generated_at, person_id, data: {section: {table: [row]}}, organizations, truncated, kept, left_out}``.

    Times are ISO 8601 in UTC. ``organizations`` names those whose ``tenant_id`` a row holds. ``truncated`` are tables
    of which only the ``most`` oldest rows are given, ``kept`` those that stay when the account is deleted and why,
    ``left_out`` those that are not exported and why.
    """
    session.connection().exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")
    sections: dict[str, list[bytes]] = {}
    tenant_ids: set[UUID] = set()
    truncated: list[str] = []
    for one in in_order():
        if one.export is None:
            continue
        found = one.export(session, person_id, most + 1)
        if len(found) > most:
            truncated.append(one.table)
            del found[most:]
        tenant_ids |= {row["tenant_id"] for row in found if row.get("tenant_id") is not None}
        sections.setdefault(one.section, []).append(_member(one.table, _array(found)))
    data = [_member(section, _object(members)) for section, members in sections.items()]
    names = sorted(tenants.names(session, tenant_ids).items(), key=lambda item: (item[1], item[0]))
    return _object(
        [
            _member("generated_at", _json(moment(session))),
            _member("person_id", _json(person_id)),
            _member("data", _object(data)),
            _member("organizations", _json([{"id": tenant_id, "name": name} for tenant_id, name in names])),
            _member("truncated", _json({"rows_per_table": most, "tables": truncated})),
            _member("kept", _json(kept())),
            _member("left_out", _json(left_out())),
        ]
    )


def kept() -> list[dict[str, str]]:
    """What of a person stays when the account is erased, in whole or emptied, and why."""
    staying = [one for one in in_order() if one.fate is not Fate.DELETED]
    return [{"table": one.table, "fate": one.fate.value, "because": one.because} for one in staying]


def left_out() -> list[dict[str, str]]:
    """What is not exported, and why."""
    return [{"table": one.table, "because": one.because} for one in in_order() if one.export is None]


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=_OPTIONS)


def _member(name: str, value: bytes) -> bytes:
    return _json(name) + b":" + value


def _object(members: list[bytes]) -> bytes:
    return b"{" + b",".join(members) + b"}"


def _array(found: list[dict[str, Any]]) -> bytes:
    """Written some rows at a time: writing all at once would hold up every other thread of the process."""
    pieces = [_json(found[first : first + _PIECE])[1:-1] for first in range(0, len(found), _PIECE)]
    return b"[" + b",".join(pieces) + b"]"
