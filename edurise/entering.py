"""How a hop begins: one round trip opens the transaction, finds the organization and returns the caller's standing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.authz import MINE, About, Grade, Principal, Standing, admit
from edurise.errors import Forbidden, NotFound

# One round trip for both: a hop on a quiet machine is mostly round trips.
_ENTER = "SELECT tenant, grades, member_role, known FROM enter(%s, %s, %s, %s, %s, %s, %s)"
_BEGIN_AND_ENTER = f"BEGIN; {_ENTER}"
# An actor stands where its event happened, and nothing has to be found out about that.
_BEGIN_AND_SERVE = "BEGIN; SELECT set_config('app.tenant', %s, true), set_config('app.user', %s, true)"

_IS_FRESH = "SELECT is_fresh(%s, %s, %s)"
_BELONGING = (Grade.MEMBER, Grade.PLATFORM, Grade.UNPROVEN, Grade.UNVERIFIED)
FRESH_FOR = timedelta(minutes=10)
"""How long ago somebody with a second factor may have given it when they do what is ``fresh``."""


@dataclass(frozen=True)
class Opening:
    """A statement that comes first in a hop and changes rows. ``touched`` is told how many, and may refuse the hop."""

    statement: str
    values: tuple[object, ...]
    touched: Callable[[Session, int], None]

    def run(self, session: Session, before: str = "", values: tuple[object, ...] = ()) -> None:
        """Send it, after the text ``before`` with its own values."""
        found = session.connection().exec_driver_sql(f"{before}{self.statement}", (*values, *self.values))
        self.touched(session, found.rowcount)


def serve(session: Session, who: Principal, opening: Opening | None) -> Principal:
    """As ``enter``, for an actor: its standing is known, so the opening travels in the same round trip."""
    place = (_text(who.wanted) or "", _text(who.user_id) or "")
    session.info["tenant"] = who.wanted
    if opening is None:
        session.connection().exec_driver_sql(_BEGIN_AND_SERVE, place)
    else:
        opening.run(session, f"{_BEGIN_AND_SERVE}; ", place)
    return admit(who, Standing(who.wanted, frozenset({Grade.SERVICE, Grade.PUBLIC})), None)


def enter(session: Session, who: Principal, about: About | None, statement: str = _BEGIN_AND_ENTER) -> Principal:
    """Set the organization and the person of this transaction and check the declared permission."""
    connection = session.connection()
    kind, subject = (about.kind, about.id) if about else (None, None)
    asked = (_text(who.user_id), _text(who.wanted), kind, _text(subject), who.service, who.version, _text(who.only))
    row = connection.exec_driver_sql(statement, asked).one()
    if not row.known:
        raise NotFound
    standing = _standing(row)
    if (about is None or about is MINE) and not standing.has(*_BELONGING):
        if who.strict:
            raise Forbidden("TENANT_ACCESS_ERROR")
        if who.otherwise is not None:
            return enter(session, replace(who, wanted=who.otherwise, otherwise=None), about, _ENTER)
    entered = admit(who, standing, None if about is MINE else about)
    if who.needs.fresh:
        demand_fresh(session, who)
    session.info["tenant"] = standing.tenant_id
    return entered


def demand_fresh(session: Session, who: Principal) -> None:
    """What a ``fresh`` permission demands, for an act that is sensitive by what it is given.

    Raises Forbidden (STEP_UP_REQUIRED) for who has a second factor and gave it longer ago than FRESH_FOR.
    """
    asked = (_text(who.user_id), _text(who.session_id), session.info["now"] - FRESH_FOR)
    if not who.service and not session.connection().exec_driver_sql(_IS_FRESH, asked).scalar_one():
        raise Forbidden("STEP_UP_REQUIRED")


def stand(session: Session, who: Principal) -> Standing:
    """How the caller stands in the acting organization as it is now, after what this hop has changed."""
    asked = (_text(who.user_id), _text(who.tenant), None, None, who.service, who.version, _text(who.only))
    row = session.connection().exec_driver_sql(_ENTER, asked).one()
    return _standing(row)


def _standing(row: Any) -> Standing:
    return Standing(_uuid(row.tenant), frozenset(Grade(name) for name in row.grades), row.member_role)


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _uuid(value: object) -> UUID | None:
    return value if isinstance(value, UUID) or value is None else UUID(str(value))
