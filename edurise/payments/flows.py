"""Payments across the gateway: hop, gateway, hop. Safe to repeat at every step, for clients repeat and so do
webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.authz import About, Principal
from edurise.errors import Conflict
from edurise.money import to_major
from edurise.payments import service
from edurise.payments.permissions import Payments
from edurise.payments.ports import GatewayEvent, Intent

if TYPE_CHECKING:
    from edurise.container import Container


async def start(c: Container, who: Principal, course_id: UUID, method: str, key: str | None) -> dict[str, Any]:
    """Start, or find again, the payment of a course; returns what the browser needs to pay it.

    Raises Conflict (PAYMENT_METHOD_UNAVAILABLE) for a method that is not built, beside what ``service.start`` and the
    gateway raise.
    """
    gateway = c.gateways.get(method)
    if gateway is None:
        raise Conflict("PAYMENT_METHOD_UNAVAILABLE", method=method)
    due: service.Due = await c.db.run(
        who, service.start, course_id, method, gateway.name, key, about=About("course", course_id)
    )
    intent = await _intent(c, due)
    await c.db.run(
        who.needing(Payments.CONFIRM),
        service.attach_intent,
        due.payment_id,
        intent.reference,
        about=About("payment", due.payment_id),
    )
    return {
        "payment_id": due.payment_id,
        "payment_intent_id": intent.reference,
        "client_secret": intent.client_secret,
        "amount": to_major(due.amount_minor, due.currency),
        "currency": due.currency,
        "gateway": gateway.name,
        "status": due.status,
    }


async def confirm(c: Container, who: Principal, payment_id: UUID) -> dict[str, Any]:
    """Ask the gateway what became of the payment and settle accordingly; returns the contract's Payment."""
    about = About("payment", payment_id)
    due: service.Due = await c.db.run(who, service.due, payment_id, about=about)
    if due.reference is None:  # the start was cut off before the intent was remembered; nothing can have been paid yet
        raise Conflict("PAYMENT_NOT_STARTED")
    intent = await c.gateway(due.gateway).confirm(due.reference)
    found: dict[str, Any] = await c.db.run(who, service.settled_view, payment_id, intent, about=about)
    return found


async def report(c: Container, gateway: str, reference: str) -> tuple[UUID | None, Intent]:
    """Ask the gateway about an intent that it sent an event for; (our payment's organization, the intent). None: it is
    not ours."""
    intent = await c.gateway(gateway).find_intent(reference)
    if intent.payment_id is None:
        return None, intent
    return await c.db.system(service.tenant_of, intent.payment_id), intent


async def receive(c: Container, gateway: str, body: bytes, signature: str) -> None:
    """Take in a webhook: verify, store once, answer. Raises Invalid (WEBHOOK_SIGNATURE)."""
    event: GatewayEvent = c.gateway(gateway).read_event(body, signature)
    await c.db.system(service.receive, gateway, event)


async def _intent(c: Container, due: service.Due) -> Intent:
    gateway = c.gateway(due.gateway)
    if due.reference is not None:
        return await gateway.find_intent(due.reference)
    # The description is under the idempotency key: a renamed course must not make a repeat look like another purchase.
    return await gateway.create_intent(
        payment_id=due.payment_id,
        amount_minor=due.amount_minor,
        currency=due.currency,
        description=f"EduRise payment {due.payment_id}",
    )


def refuse_dialog() -> None:
    """Raises Conflict: the old dialog settles in the browser's name, which no server can trust; the course payment
    does the same work."""
    raise Conflict("PAYMENT_DIALOG_UNSUPPORTED")
