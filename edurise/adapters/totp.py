"""One-time codes by pyotp: six digits, thirty seconds, SHA-1, as every authenticator reads them (RFC 6238)."""

from __future__ import annotations

import hmac
from datetime import datetime

import pyotp

_STEP_S = 30
_AROUND = (0, -1, 1)
"""Clocks may differ by one step (RFC 6238, 5.2)."""
ISSUER = "EduRise"


class TotpCodes:
    """Knows which time step a code belongs to, so that none is good twice."""

    def new_secret(self) -> str:
        return pyotp.random_base32()

    def uri(self, secret: str, account: str) -> str:
        return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=ISSUER)

    def step_of(self, secret: str, code: str, at: datetime) -> int | None:
        plain = "".join(code.split())
        if not (len(plain) == 6 and plain.isascii() and plain.isdigit()):
            return None
        now, totp = int(at.timestamp()) // _STEP_S, pyotp.TOTP(secret)
        matching = [now + off for off in _AROUND if hmac.compare_digest(totp.generate_otp(now + off), plain)]
        return matching[0] if matching else None
