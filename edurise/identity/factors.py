"""The second factor: TOTP (RFC 6238) and recovery codes. System role.

Wrong codes are counted in the row, so that neither another session nor another process starts the count anew. A refusal
is an outcome and not an error here: its count must be committed.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32encode
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import insert_missing, moment
from edurise.errors import Conflict, DomainError, Forbidden, Invalid, Limited
from edurise.identity import devices
from edurise.identity.events import RecoveryCodeUsed, SecondFactorDisabled, SecondFactorEnrolled
from edurise.identity.models import LoginSession, Person
from edurise.identity.ports import OneTimeCodes
from edurise.identity.proofs import RecoveryCode, SecondFactor
from edurise.identity.sessions import Lifetimes
from edurise.sealing import Renewal, Vault
from edurise.tenants import queries as tenants

CODES = 10
ATTEMPTS = 5
LOCKED_FOR = timedelta(minutes=15)
_LONGEST_LOCK = timedelta(days=1)


@dataclass(frozen=True)
class Checked:
    """What became of a code. ``refusal`` is what to raise after the commit; None: it was right."""

    refusal: DomainError | None = None
    by_recovery_code: bool = False


@dataclass(frozen=True)
class _Given:
    """What somebody typed; the ``is_first`` of a new secret is never a recovery code."""

    code: str
    is_first: bool = False


@dataclass(frozen=True)
class Begun:
    """A new secret, in base32 and as the URI that authenticators read; shown once."""

    secret: str
    uri: str


def state(session: Session, person_id: UUID) -> dict[str, Any]:
    """``{is_enrolled, since, recovery_codes_left, demanded_by}``; the last names organizations that demand it of a role
    of the person's, ``main`` among them where it demands it of platform administrators."""
    found = _confirmed(session, person_id)
    left = select(func.count()).where(RecoveryCode.person_id == person_id, RecoveryCode.used_at.is_(None))
    return {
        "is_enrolled": found is not None,
        "since": found.confirmed_at if found else None,
        "recovery_codes_left": session.scalar(left) or 0 if found else 0,
        "demanded_by": _demanding(session, person_id),
    }


def needed(session: Session, person_id: UUID, otp: str | None) -> bool:
    """Whether a code has to be checked. Raises Forbidden (OTP_REQUIRED) where one is and was not given, which is no
    attempt and is not counted."""
    if _confirmed(session, person_id) is None:
        return False
    if not otp:
        raise Forbidden("OTP_REQUIRED")
    return True


def begin(session: Session, who: Principal, vault: Vault, codes: OneTimeCodes) -> Begun:
    """Make a secret that counts once ``confirm`` was given a code of it; beginning again replaces it, and of two who
    begin at once the later one's counts. Wrong codes stay counted.

    Raises Conflict (OTP_ENROLLED).
    """
    person = session.get_one(Person, who.person)
    secret, now = codes.new_secret(), moment(session)
    sealed = vault.seal(secret.encode(), context_of(person.id))
    insert_missing(session, SecondFactor, person_id=person.id, sealed_secret=sealed, created_at=now, failures=0)
    found = session.get_one(SecondFactor, person.id, with_for_update=True)
    if found.confirmed_at is not None:
        raise Conflict("OTP_ENROLLED")
    found.sealed_secret, found.created_at, found.last_step = sealed, now, None
    audit.write(session, who, "account.second_factor_begun", "person", person.id)
    return Begun(secret, codes.uri(secret, person.email))


def confirm(
    session: Session, who: Principal, code: str, vault: Vault, codes: OneTimeCodes, life: Lifetimes
) -> Checked | list[str]:
    """Take the second factor into use by a first code of it; returns the recovery codes, to be shown once. The other
    sessions end: they were opened without it.

    Raises Conflict (OTP_ENROLLED, OTP_NOT_ENROLLED).
    """
    found = session.get(SecondFactor, who.person, with_for_update=True)
    if found is None:
        raise Conflict("OTP_NOT_ENROLLED")
    if found.confirmed_at is not None:
        raise Conflict("OTP_ENROLLED")
    checked = _checked(session, who, found, _Given(code, is_first=True), vault, codes)
    if checked.refusal is not None:
        return checked
    found.confirmed_at = moment(session)
    session.get_one(Person, who.person).has_second_factor = True
    session.flush()  # waits for a log-in under way, whose session is among the others then
    devices.revoke_all(session, who.person, life, but=who.session_id)
    prove(session, who)
    audit.write(session, who, "account.second_factor_enrolled", "person", who.person)
    outbox.record(session, None, SecondFactorEnrolled(person_id=who.person))
    return _renewed(session, who.person)


def check(session: Session, who: Principal, code: str, vault: Vault, codes: OneTimeCodes) -> Checked:
    """Check a code of the authenticator, or a recovery code, which is used up; each is good once, also for two who use
    it at the same time. Raises Conflict (OTP_NOT_ENROLLED)."""
    found = session.get(SecondFactor, who.person, with_for_update=True)
    if found is None or found.confirmed_at is None:
        raise Conflict("OTP_NOT_ENROLLED")
    return _checked(session, who, found, _Given(code), vault, codes)


def step_up(session: Session, who: Principal, code: str, vault: Vault, codes: OneTimeCodes) -> Checked:
    """As ``check``; a right code makes the caller's session fresh."""
    checked = check(session, who, code, vault, codes)
    if checked.refusal is None:
        prove(session, who)
    return checked


def renew(session: Session, who: Principal, code: str, vault: Vault, codes: OneTimeCodes) -> Checked | list[str]:
    """Replace the recovery codes for a right code, as ``step_up``; returns the new ones, to be shown once."""
    checked = step_up(session, who, code, vault, codes)
    if checked.refusal is not None:
        return checked
    audit.write(session, who, "account.recovery_renewed", "person", who.person)
    return _renewed(session, who.person)


def disable(session: Session, who: Principal, code: str, vault: Vault, codes: OneTimeCodes) -> Checked:
    """Do without the second factor, for a right code. Raises as ``check``, and Conflict (OTP_DEMANDED) while an
    organization demands it; the code is not used up then."""
    if _confirmed(session, who.person) is not None and _demanding(session, who.person):
        raise Conflict("OTP_DEMANDED")
    checked = check(session, who, code, vault, codes)
    if checked.refusal is None:
        take_away(session, who, who.person)
    return checked


def take_away(session: Session, who: Principal, person_id: UUID) -> None:
    """Forget a second factor and its recovery codes; nothing happens where there is none."""
    if _forget(session, person_id):
        audit.write(session, who, "account.second_factor_disabled", "person", person_id)


def reset(session: Session, who: Principal, person_id: UUID, life: Lifetimes) -> None:
    """Take the second factor from somebody who lost it, as a platform administrator; every session of theirs ends.
    Where there is none nothing happens, so that a repeat ends no session.

    Raises Conflict (NOT_ON_ONESELF): one's own is given up with a code.
    """
    if person_id == who.person:
        raise Conflict("NOT_ON_ONESELF")
    if _forget(session, person_id):
        devices.revoke_all(session, person_id, life)
        audit.write(session, who, "account.second_factor_reset", "person", person_id)


def prove(session: Session, who: Principal) -> None:
    """Note that the caller has just shown, in this session, who they are."""
    audit.write(session, who, "session.proved", "session", who.session_id)
    session.execute(
        update(LoginSession)
        .where(LoginSession.id == who.session_id, LoginSession.person_id == who.person)
        .values(proved_at=moment(session))
    )


def reseal(session: Session, vault: Vault, after: UUID | None, most: int) -> tuple[UUID | None, Renewal]:
    """Seal the next ``most`` secrets anew with the newest key; returns (the last one seen, or None at the end; what
    became of them)."""
    renewal = Renewal(vault)
    query = select(SecondFactor).order_by(SecondFactor.person_id).limit(most).with_for_update()
    if after is not None:
        query = query.where(SecondFactor.person_id > after)
    found = session.scalars(query).all()
    for one in found:
        name = f"second factor of {one.person_id}"
        one.sealed_secret = renewal.of(one.sealed_secret, context_of(one.person_id), name)
    return (found[-1].person_id if len(found) == most else None), renewal


def context_of(person_id: UUID) -> bytes:
    """What a secret is sealed to: in another person's row it does not open."""
    return b"second-factor:" + person_id.bytes


def _confirmed(session: Session, person_id: UUID) -> SecondFactor | None:
    key = (SecondFactor.person_id == person_id, SecondFactor.confirmed_at.is_not(None))
    return session.scalars(select(SecondFactor).where(*key)).one_or_none()


def _demanding(session: Session, person_id: UUID) -> list[str]:
    person = session.get_one(Person, person_id)
    return tenants.demanding(session, person_id, of_platform=person.is_platform_admin)


def _forget(session: Session, person_id: UUID) -> bool:
    """Delete the factor and its recovery codes, and tell the person; returns whether there was one that counted."""
    found = session.get(SecondFactor, person_id, with_for_update=True)
    if found is None:
        return False
    session.execute(delete(RecoveryCode).where(RecoveryCode.person_id == person_id))
    session.delete(found)
    if found.confirmed_at is None:
        return False
    session.get_one(Person, person_id).has_second_factor = False
    outbox.record(session, None, SecondFactorDisabled(person_id=person_id))
    session.flush()
    return True


def _checked(
    session: Session, who: Principal, found: SecondFactor, given: _Given, vault: Vault, codes: OneTimeCodes
) -> Checked:
    """The row is locked, so codes of one person are checked one after the other."""
    now = moment(session)
    if found.locked_until is not None and found.locked_until > now:
        return Checked(Limited("OTP_LOCKED", retry_after_s=(found.locked_until - now).total_seconds()))
    step = codes.step_of(vault.unseal(found.sealed_secret, context_of(found.person_id)).decode(), given.code, now)
    by_recovery_code = False
    if step is not None and (found.last_step is None or step > found.last_step):
        found.last_step = step
    elif not given.is_first and _used_recovery_code(session, who, given.code):
        by_recovery_code = True
    else:
        return Checked(_refused(session, who, found))
    found.failures, found.locked_until = 0, None
    session.flush()
    return Checked(by_recovery_code=by_recovery_code)


def _refused(session: Session, who: Principal, found: SecondFactor) -> DomainError:
    found.failures += 1
    over = found.failures - ATTEMPTS
    if over < 0:
        return Invalid("OTP_WRONG")
    lock = min(LOCKED_FOR * 2 ** min(over, 10), _LONGEST_LOCK)
    found.locked_until = moment(session) + lock
    audit.write(session, who, "account.second_factor_locked", "person", found.person_id, failures=found.failures)
    return Limited("OTP_LOCKED", retry_after_s=lock.total_seconds())


def _used_recovery_code(session: Session, who: Principal, code: str) -> bool:
    used = session.scalar(
        update(RecoveryCode)
        .where(
            RecoveryCode.person_id == who.person,
            RecoveryCode.code_hash == _hash(code),
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=moment(session))
        .returning(RecoveryCode.id)
    )
    if used is None:
        return False
    audit.write(session, who, "account.recovery_used", "person", who.person)
    outbox.record(session, None, RecoveryCodeUsed(person_id=who.person))
    return True


def _renewed(session: Session, person_id: UUID) -> list[str]:
    session.execute(delete(RecoveryCode).where(RecoveryCode.person_id == person_id))
    made = [_new_code() for _ in range(CODES)]
    for code in made:
        row = RecoveryCode(id=uuid7(), person_id=person_id, code_hash=_hash(code), created_at=moment(session))
        session.add(row)
    session.flush()
    return made


def _new_code() -> str:
    """80 random bits, in four groups of four letters: XXXX-XXXX-XXXX-XXXX."""
    text = b32encode(secrets.token_bytes(10)).decode()
    return "-".join(text[at : at + 4] for at in range(0, 16, 4))


def _hash(code: str) -> str:
    """80 random bits cannot be guessed from their hash, so it needs no slow one."""
    plain = "".join(code.upper().split()).replace("-", "")
    return hashlib.sha256(plain.encode()).hexdigest()
