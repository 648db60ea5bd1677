"""The second factor: TOTP (RFC 6238) and recovery codes. System role.

Wrong codes are counted in the row, so that neither another session nor another process starts the count anew. A refusal
is an outcome and not an error here: its count must be committed.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import moment
from edurise.errors import Conflict, DomainError, Forbidden, Invalid, Limited
from edurise.identity import devices
from edurise.identity.events import RecoveryCodeUsed, SecondFactorDisabled, SecondFactorEnrolled
from edurise.identity.models import LoginSession, Person
from edurise.identity.ports import OneTimeCodes
from edurise.identity.proofs import RecoveryCode, SecondFactor
from edurise.identity.sessions import Lifetimes
from edurise.sealing import Vault
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
class Begun:
    """A new secret, in base32 and as the URI that authenticators read; shown once."""

    secret: str
    uri: str


def state(session: Session, person_id: UUID) -> dict[str, Any]:
    """``{is_enrolled, since, recovery_codes_left, demanded_by}``; the last names organizations that demand it of a role
    of the person's."""
    found = _confirmed(session, person_id)
    left = select(func.count()).where(RecoveryCode.person_id == person_id, RecoveryCode.used_at.is_(None))
    return {
        "is_enrolled": found is not None,
        "since": found.confirmed_at if found else None,
        "recovery_codes_left": session.scalar(left) or 0 if found else 0,
        "demanded_by": tenants.demanding(session, person_id),
    }


def is_enrolled(session: Session, person_id: UUID) -> bool:
    """Whether a log-in of the person needs a code."""
    return _confirmed(session, person_id) is not None


def begin(session: Session, who: Principal, vault: Vault, codes: OneTimeCodes) -> Begun:
    """Make a secret that counts once ``confirm`` was given a code of it; beginning again replaces it.

    Raises Conflict (OTP_ENROLLED).
    """
    person = session.get_one(Person, who.person)
    found = session.get(SecondFactor, who.person, with_for_update=True)
    if found is not None and found.confirmed_at is not None:
        raise Conflict("OTP_ENROLLED")
    secret = codes.new_secret()
    if found is None:
        found = SecondFactor(person_id=person.id, sealed_secret=b"", created_at=moment(session), failures=0)
        session.add(found)
    found.sealed_secret = vault.seal(secret.encode(), context_of(person.id))
    found.created_at, found.last_step = moment(session), None
    session.flush()
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
    checked = _checked(session, found, code, vault, codes)
    if checked.refusal is not None:
        return checked
    found.confirmed_at = moment(session)
    session.get_one(Person, who.person).has_second_factor = True
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
    return _checked(session, found, code, vault, codes, who)


def renew(session: Session, who: Principal) -> list[str]:
    """Replace the recovery codes; returns the new ones, to be shown once."""
    audit.write(session, who, "account.recovery_renewed", "person", who.person)
    return _renewed(session, who.person)


def disable(session: Session, who: Principal) -> None:
    """Do without the second factor. Raises Conflict (OTP_DEMANDED) while an organization demands it."""
    if tenants.demanding(session, who.person):
        raise Conflict("OTP_DEMANDED")
    take_away(session, who, who.person)


def reset(session: Session, who: Principal, person_id: UUID, life: Lifetimes) -> None:
    """Take the second factor from somebody who lost it, as a platform administrator; every session of theirs ends."""
    devices.revoke_all(session, person_id, life)
    take_away(session, who, person_id)


def take_away(session: Session, who: Principal, person_id: UUID) -> None:
    """Forget a second factor and its recovery codes; nothing happens where there is none."""
    if session.get(SecondFactor, person_id, with_for_update=True) is None:
        return
    session.execute(delete(RecoveryCode).where(RecoveryCode.person_id == person_id))
    session.execute(delete(SecondFactor).where(SecondFactor.person_id == person_id))
    session.get_one(Person, person_id).has_second_factor = False
    audit.write(session, who, "account.second_factor_disabled", "person", person_id)
    outbox.record(session, None, SecondFactorDisabled(person_id=person_id))


def prove(session: Session, who: Principal) -> None:
    """Note that the caller has just shown, in this session, who they are."""
    session.execute(
        update(LoginSession)
        .where(LoginSession.id == who.session_id, LoginSession.person_id == who.person)
        .values(proved_at=moment(session))
    )


def reseal(session: Session, vault: Vault, after: UUID | None, most: int) -> tuple[UUID | None, int]:
    """Seal the next ``most`` secrets anew with the newest key; returns (the last one seen, or None at the end; how many
    were sealed with another)."""
    query = select(SecondFactor).order_by(SecondFactor.person_id).limit(most).with_for_update()
    if after is not None:
        query = query.where(SecondFactor.person_id > after)
    found = session.scalars(query).all()
    old = [one for one in found if vault.key_of(one.sealed_secret) != vault.newest]
    for one in old:
        one.sealed_secret = vault.reseal(one.sealed_secret, context_of(one.person_id))
    return (found[-1].person_id if len(found) == most else None), len(old)


def context_of(person_id: UUID) -> bytes:
    """What a secret is sealed to: in another person's row it does not open."""
    return b"second-factor:" + person_id.bytes


def _confirmed(session: Session, person_id: UUID) -> SecondFactor | None:
    key = (SecondFactor.person_id == person_id, SecondFactor.confirmed_at.is_not(None))
    return session.scalars(select(SecondFactor).where(*key)).one_or_none()


def _checked(
    session: Session,
    found: SecondFactor,
    code: str,
    vault: Vault,
    codes: OneTimeCodes,
    who: Principal | None = None,
) -> Checked:
    """The row is locked, so codes of one person are checked one after the other."""
    now = moment(session)
    if found.locked_until is not None and found.locked_until > now:
        return Checked(Limited("OTP_LOCKED", retry_after_s=(found.locked_until - now).total_seconds()))
    step = codes.step_of(vault.unseal(found.sealed_secret, context_of(found.person_id)).decode(), code, now)
    by_recovery_code = False
    if step is not None and (found.last_step is None or step > found.last_step):
        found.last_step = step
    elif who is not None and _used_recovery_code(session, who, code):
        by_recovery_code = True
    else:
        return Checked(_refused(found, now))
    found.failures, found.locked_until = 0, None
    session.flush()
    return Checked(by_recovery_code=by_recovery_code)


def _refused(found: SecondFactor, now: datetime) -> DomainError:
    found.failures += 1
    over = found.failures - ATTEMPTS
    if over < 0:
        return Invalid("OTP_WRONG")
    lock = min(LOCKED_FOR * 2 ** min(over, 10), _LONGEST_LOCK)
    found.locked_until = now + lock
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


def needed(session: Session, person_id: UUID, otp: str | None) -> bool:
    """Whether a code has to be checked. Raises Forbidden (OTP_REQUIRED) where one is and was not given."""
    if not is_enrolled(session, person_id):
        return False
    if not otp:
        raise Forbidden("OTP_REQUIRED")
    return True
