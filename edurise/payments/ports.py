"""The payment gateway as the domain sees it. No vendor's word or type appears here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

IntentStatus = Literal["requires_payment", "processing", "succeeded", "canceled"]


@dataclass(frozen=True)
class Intent:
    """One wish to be paid, as the gateway holds it.

    ``reference`` is the gateway's id. ``client_secret`` lets the payer's browser, and nobody else, pay this intent.
    ``amount_minor`` counts minor units of ISO 4217 ``currency`` (upper case). ``payment_id`` is our own id, as the
    gateway gives it back; None for an intent that somebody else created.
    """

    reference: str
    client_secret: str | None
    status: IntentStatus
    amount_minor: int
    currency: str
    payment_id: UUID | None


@dataclass(frozen=True)
class GatewayEvent:
    """A verified message from the gateway: something may have changed, ask for the intent.

    ``id`` is unique at the gateway and equal for every repetition. ``created`` is in seconds since 1970, by the
    gateway's clock. ``intent_reference`` is None for an event that is not about an intent.
    """

    id: str
    type: str
    intent_reference: str | None
    created: int


class PaymentGateway(Protocol):
    """Every method may be repeated. Answers are facts about the gateway; nothing is settled here.

    Errors: Upstream("PAYMENT_GATEWAY_UNAVAILABLE") if the gateway does not answer in time, fails, or was failing a
    moment ago; NotFound for a reference that the gateway does not know.
    """

    @property
    def name(self) -> str:
        """The word that is stored with a payment, for example ``stripe`` or ``sandbox``."""

    async def create_intent(self, *, payment_id: UUID, amount_minor: int, currency: str, description: str) -> Intent:
        """Return the intent of this payment; the first call creates it.

        Every argument must be the same at each repetition, ``description`` too: no title that somebody may edit
        meanwhile. Raises Invalid("PAYMENT_REFUSED", reason=…) for an amount or currency that the gateway does not
        take, and Conflict("PAYMENT_INTENT_MISMATCH") if the payment already has an intent with other arguments.
        """

    async def find_intent(self, reference: str) -> Intent:
        """Return the intent as it stands at the gateway now."""

    async def confirm(self, reference: str) -> Intent:
        """Return the intent after the payer claims to have paid.

        Raises Invalid("PAYMENT_DECLINED", reason=…) for a refused card.
        """

    def read_event(self, body: bytes, signature: str) -> GatewayEvent:
        """Verify the signature over the raw body, then read the event.

        Raises Invalid("WEBHOOK_SIGNATURE"), Invalid("WEBHOOK_BODY") or Invalid("WEBHOOK_NOT_SUPPORTED").
        """

    async def close(self) -> None:
        """Close the connections of the running loop."""
