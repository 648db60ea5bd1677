"""Stripe behind the gateway port, through the official library (PaymentIntents:
https://docs.stripe.com/api/payment_intents).

Request and answer bodies hold secrets and card data. They are never logged, and errors of the library, whose text
may quote a body, end here: what leaves is a DomainError without a cause, what is logged are the error's type,
status, code and request id.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from fractions import Fraction
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson
import stripe

from edurise.adapters.resilience import CircuitBreaker, CircuitOpenError, RetryBudget, call
from edurise.errors import Conflict, DomainError, Invalid, NotFound, Upstream
from edurise.payments.ports import GatewayEvent, Intent, IntentStatus

T = TypeVar("T")
_log = logging.getLogger(__name__)
# At DEBUG the library logs bodies, whatever the level of the root logger would be.
logging.getLogger("stripe").setLevel(logging.WARNING)

_STATUS: Mapping[str, IntentStatus] = {
    "requires_payment_method": "requires_payment",
    "requires_confirmation": "requires_payment",
    "requires_action": "requires_payment",
    "requires_capture": "processing",
    "processing": "processing",
    "succeeded": "succeeded",
    "canceled": "canceled",
}
# Where Stripe's smallest unit is not the minor unit of ISO 4217, how many of the first make one of the second:
# https://docs.stripe.com/currencies, "Zero-decimal currencies" and "Special cases".
_UNITS_PER_MINOR: Mapping[str, Fraction] = {"ISK": Fraction(100), "UGX": Fraction(100), "MGA": Fraction(1, 100)}
_DESCRIPTION_LENGTH = 500
_REFERENCE = re.compile(r"pi_[A-Za-z0-9_]{1,200}")


class StripeGateway:
    """A gateway for any number of event loops; each gets its own client, for connections belong to one loop.

    The defaults keep the worst case (three time-outs and two pauses) below the 15 s after which a browser gives up.
    """

    name = "stripe"

    def __init__(
        self,
        *,
        api_key: str,
        webhook_secret: str,
        api_url: str = "https://api.stripe.com",
        timeout_s: float = 4.0,
        attempts: int = 3,
        breaker: CircuitBreaker | None = None,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api_key = api_key
        self._webhook_secret = webhook_secret
        self._api_url = api_url.rstrip("/")
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._breaker = breaker or CircuitBreaker("stripe")
        self._budget = budget or RetryBudget()
        self._sleep = sleep
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[stripe.StripeClient, _HttpxTransport]] = (
            WeakKeyDictionary()
        )

    async def create_intent(self, *, payment_id: UUID, amount_minor: int, currency: str, description: str) -> Intent:
        params: stripe.params.PaymentIntentCreateParams = {
            "amount": _to_units(amount_minor, currency),
            "currency": currency.lower(),
            "description": description[:_DESCRIPTION_LENGTH],
            "automatic_payment_methods": {"enabled": True},
            "metadata": {"payment_id": str(payment_id)},
        }
        options: stripe.RequestOptions = {"idempotency_key": f"edurise-intent-{payment_id}"}
        return _intent(await self._ask(lambda c: c.v1.payment_intents.create_async(params, options)))

    async def find_intent(self, reference: str) -> Intent:
        return _intent(await self._retrieve(reference))

    async def confirm(self, reference: str) -> Intent:
        """Look at what the browser confirmed with Stripe.js; a refused card is Invalid("PAYMENT_DECLINED")."""
        found = await self._retrieve(reference)
        intent = _intent(found)
        refusal = found.to_dict().get("last_payment_error")
        if refusal and intent.status == "requires_payment":
            raise Invalid("PAYMENT_DECLINED", reason=refusal.get("decline_code") or refusal.get("code") or "declined")
        return intent

    def read_event(self, body: bytes, signature: str) -> GatewayEvent:
        """Verify ``Stripe-Signature`` (at most 300 s old) and read the event's ids; the rest is asked for anew."""
        try:
            stripe.WebhookSignature.verify_header(
                body, signature, self._webhook_secret, stripe.Webhook.DEFAULT_TOLERANCE
            )
        except (stripe.SignatureVerificationError, UnicodeDecodeError, TypeError):
            # UnicodeDecodeError: a body that is not UTF-8. TypeError: a signature that is not ASCII.
            raise Invalid("WEBHOOK_SIGNATURE") from None
        return _event(body)

    async def close(self) -> None:
        made = self._clients.pop(asyncio.get_running_loop(), None)
        if made is not None:
            await made[1].close_async()  # type: ignore[no-untyped-call]  # the library has not typed it

    def _client(self) -> stripe.StripeClient:
        loop = asyncio.get_running_loop()
        made = self._clients.get(loop)
        if made is None:
            transport = _HttpxTransport(timeout=self._timeout_s)
            client = stripe.StripeClient(
                self._api_key,
                base_addresses={"api": self._api_url},
                http_client=transport,
                max_network_retries=0,  # the budget and the breaker must see each attempt
            )
            made = self._clients[loop] = (client, transport)
        return made[0]

    async def _retrieve(self, reference: str) -> stripe.PaymentIntent:
        # Anything else would become another path at Stripe.
        if not _REFERENCE.fullmatch(reference):
            raise NotFound
        return await self._ask(lambda c: c.v1.payment_intents.retrieve_async(reference))

    async def _ask(self, ask: Callable[[stripe.StripeClient], Awaitable[T]]) -> T:
        client = self._client()
        try:
            return await call(
                lambda: ask(client),
                timeout_s=self._timeout_s,
                attempts=self._attempts,
                breaker=self._breaker,
                budget=self._budget,
                retry_on=_is_failure,
                sleep=self._sleep,
            )
        except CircuitOpenError as refused:
            raise _unavailable(refused.retry_after_s) from None
        except TimeoutError:
            _log.warning("stripe did not answer within %.1f s", self._timeout_s)
            raise _unavailable() from None
        except stripe.StripeError as refused:
            _log.warning(
                "stripe: %s, status %s, code %s, request %s",
                type(refused).__name__,
                refused.http_status,
                refused.code,
                refused.request_id,
            )
            raise _translated(refused) from None


class _HttpxTransport(stripe.HTTPXClient):
    """The library hands raw bodies to httpx as ``data``, which httpx deprecates; here they go as ``content``."""

    def _get_request_args_kwargs(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any
    ) -> list[Any]:  # Any: as the library declares it
        args, kwargs = super()._get_request_args_kwargs(method, url, headers, post_data)
        kwargs["content"] = kwargs.pop("data") or None
        return [args, kwargs]


def _to_units(amount_minor: int, currency: str) -> int:
    units = amount_minor * _UNITS_PER_MINOR.get(currency.upper(), Fraction(1))
    if units.denominator != 1:
        raise Invalid("PAYMENT_REFUSED", reason="amount_not_payable")
    return units.numerator


def _to_minor(units: int, currency: str) -> int:
    """Raises ValueError for an amount that we cannot have asked for."""
    amount = units / _UNITS_PER_MINOR.get(currency, Fraction(1))
    if amount.denominator != 1:
        raise ValueError(units)
    return amount.numerator


def _intent(found: stripe.PaymentIntent) -> Intent:
    """Translate Stripe's intent; raises Upstream for an answer that this code does not understand."""
    try:
        values = found.to_dict()
        currency = values["currency"].upper()
        return Intent(
            reference=values["id"],
            client_secret=values.get("client_secret"),
            status=_STATUS[values["status"]],
            amount_minor=_to_minor(values["amount"], currency),
            currency=currency,
            payment_id=_payment_id(values.get("metadata") or {}),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as nonsense:
        # The error's text may quote the body, so only its type is logged.
        _log.error("stripe: not an intent that can be understood: %s", type(nonsense).__name__)
        raise _unavailable() from None


def _payment_id(metadata: Mapping[str, str]) -> UUID | None:
    try:
        return UUID(metadata["payment_id"])
    except (KeyError, ValueError):
        return None


def _event(body: bytes) -> GatewayEvent:
    try:
        event = orjson.loads(body)
        about = event["data"]["object"]
        reference = about["id"] if about["object"] == "payment_intent" else about.get("payment_intent")
        return GatewayEvent(
            id=str(event["id"]),
            type=str(event["type"]),
            intent_reference=reference if isinstance(reference, str) else None,
            created=int(event["created"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        # Signed by Stripe, and yet no snapshot event: the endpoint is set up for another kind of event.
        raise Invalid("WEBHOOK_BODY") from None


def _is_failure(refused: Exception) -> bool:
    """True if Stripe failed or had no time for us, so that the same request may succeed later."""
    # APIError: 5xx; 409, another request with the same idempotency key is under way; an answer that is not Stripe's
    # JSON.
    return isinstance(refused, stripe.APIConnectionError | stripe.RateLimitError | stripe.APIError)


def _translated(refused: stripe.StripeError) -> DomainError:
    match refused:
        case stripe.CardError():
            details = refused.error.to_dict() if refused.error else {}
            return Invalid("PAYMENT_DECLINED", reason=details.get("decline_code") or refused.code or "declined")
        case stripe.IdempotencyError():
            return Conflict("PAYMENT_INTENT_MISMATCH")
        case stripe.InvalidRequestError(http_status=404):
            return NotFound()
        case stripe.InvalidRequestError():
            return Invalid("PAYMENT_REFUSED", reason=refused.code or "invalid")
        case _:
            return _unavailable()


def _unavailable(retry_after_s: float | None = None) -> Upstream:
    return Upstream("PAYMENT_GATEWAY_UNAVAILABLE", retry_after_s=retry_after_s)
