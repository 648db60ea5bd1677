"""The stand-in for a payment gateway in embedded mode. No money moves: whoever confirms has "paid".

The settings refuse it in production.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from uuid import UUID

from edurise.errors import Invalid, NotFound
from edurise.payments.ports import GatewayEvent, Intent, IntentStatus

_PREFIX = "sandbox_"
_SEAL_BYTES = 16
_FACTS_BYTES = 16 + 8 + 3  # payment id, amount, currency
_log = logging.getLogger(__name__)


class SandboxGateway:
    """Remembers nothing, so any process can answer for an intent that another one created.

    A reference is ``sandbox_`` and, in base64url, the payment's id (16 bytes), the amount in minor units (8), the
    currency (3) and an HMAC-SHA256 over them, cut to 16 bytes. It has 66 characters and is the same for each call
    with the same payment.
    """

    name = "sandbox"
    description = "Sandbox gateway: payments are simulated and no money moves."

    def __init__(self, secret: bytes) -> None:
        # A key of its own, so that a seal made here means nothing wherever else the secret is used.
        self._key = hmac.digest(secret, b"edurise sandbox gateway v1", hashlib.sha256)
        _log.warning(self.description)

    async def create_intent(
        self,
        *,
        payment_id: UUID,
        amount_minor: int,
        currency: str,
        description: str,  # noqa: ARG002 - the port's signature; there is nobody to show it to
    ) -> Intent:
        code = currency.upper()
        if not 0 < amount_minor < 2**63:
            raise Invalid("PAYMENT_REFUSED", reason="amount")
        if len(code) != 3 or not (code.isascii() and code.isalpha()):
            raise Invalid("PAYMENT_REFUSED", reason="currency")
        facts = payment_id.bytes + amount_minor.to_bytes(8, "big") + code.encode("ascii")
        sealed = base64.urlsafe_b64encode(facts + self._seal(facts)).rstrip(b"=").decode("ascii")
        return self._open(_PREFIX + sealed, "requires_payment")

    async def find_intent(self, reference: str) -> Intent:
        return self._open(reference, "requires_payment")

    async def confirm(self, reference: str) -> Intent:
        intent = self._open(reference, "succeeded")
        _log.info("sandbox: payment %s counts as paid, no money moved", intent.payment_id)
        return intent

    def read_event(self, body: bytes, signature: str) -> GatewayEvent:  # noqa: ARG002 - the port's signature
        """The sandbox sends no webhooks: whatever claims to be one is refused with Invalid("WEBHOOK_NOT_SUPPORTED")."""
        raise Invalid("WEBHOOK_NOT_SUPPORTED")

    async def close(self) -> None:
        """Nothing is open."""

    def _seal(self, facts: bytes) -> bytes:
        return hmac.digest(self._key, facts, hashlib.sha256)[:_SEAL_BYTES]

    def _open(self, reference: str, status: IntentStatus) -> Intent:
        """Read the facts out of a reference; raises NotFound for one that was not made with this secret."""
        encoded = reference.removeprefix(_PREFIX)
        try:
            raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise NotFound from None
        facts, seal = raw[:_FACTS_BYTES], raw[_FACTS_BYTES:]
        canonical = _PREFIX + base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
        if canonical != reference or not hmac.compare_digest(seal, self._seal(facts)):
            raise NotFound
        return Intent(
            reference=reference,
            client_secret=None,
            status=status,
            amount_minor=int.from_bytes(facts[16:24], "big"),
            currency=facts[24:].decode("ascii"),
            payment_id=UUID(bytes=facts[:16]),
        )
