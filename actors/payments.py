"""What a gateway reported is asked of the gateway again, and settled: order and repetition of its messages do not
matter."""

from __future__ import annotations

from actors.registry import actor
from actors.runtime import DeliveryHop
from edurise.container import Container
from edurise.errors import NotFound
from edurise.payments import flows, service
from edurise.payments.events import GatewayReported


@actor(on=GatewayReported, fatal=(NotFound,))
async def settle_what_was_reported(c: Container, event: GatewayReported, hop: DeliveryHop) -> None:
    """Find the intent, find our payment, settle as far as the intent's state allows."""
    tenant_id, intent = await flows.report(c, event.gateway, event.intent_reference)
    if tenant_id is None or intent.payment_id is None:
        await hop.finish()  # an intent that somebody else created in the same account
        return
    await hop(service.settle, intent.payment_id, intent, tenant=tenant_id, final=True)
