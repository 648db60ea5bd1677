"""The sandbox gateway: stateless, and nobody but itself makes its references."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from uuid import UUID

import pytest

from edurise.adapters.sandbox_gateway import SandboxGateway
from edurise.errors import Invalid, NotFound
from edurise.payments.ports import Intent, PaymentGateway

PAYMENT = UUID("0199c0de-0000-7000-8000-000000000001")
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def gateway() -> PaymentGateway:
    return SandboxGateway(b"secret of this installation")


async def created(gateway: PaymentGateway, amount: int = 4900, currency: str = "eur") -> Intent:
    return await gateway.create_intent(
        payment_id=PAYMENT, amount_minor=amount, currency=currency, description="Algebra"
    )


def test_it_says_what_it_is(run: Run, gateway: SandboxGateway) -> None:
    assert gateway.name == "sandbox"
    assert "no money moves" in gateway.description
    assert run(created(gateway)).reference.startswith("sandbox_")


def test_an_intent_is_the_same_each_time_and_in_another_process(run: Run, gateway: PaymentGateway) -> None:
    intent = run(created(gateway))
    elsewhere = SandboxGateway(b"secret of this installation")
    assert intent == Intent(intent.reference, None, "requires_payment", 4900, "EUR", PAYMENT)
    assert run(created(elsewhere)) == intent
    assert run(elsewhere.find_intent(intent.reference)) == intent
    assert len(intent.reference) == 66


def test_confirming_is_paying(run: Run, gateway: PaymentGateway) -> None:
    intent = run(created(gateway))
    paid = run(gateway.confirm(intent.reference))
    assert (paid.status, paid.amount_minor, paid.currency, paid.payment_id) == ("succeeded", 4900, "EUR", PAYMENT)


def test_no_reference_can_be_made_or_changed_by_others(run: Run, gateway: PaymentGateway) -> None:
    reference = run(created(gateway)).reference
    other = run(created(SandboxGateway(b"another secret"))).reference
    changed = [
        reference[:i] + ("B" if reference[i] == "A" else "A") + reference[i + 1 :] for i in range(len(reference))
    ]
    for forged in [
        *changed,
        other,
        reference[:-1],
        reference + "A",
        reference + "=",
        " " + reference,
        "sandbox_",
        "",
        "é",
    ]:
        with pytest.raises(NotFound):
            run(gateway.confirm(forged))


@pytest.mark.parametrize(("amount", "currency"), [(0, "EUR"), (-1, "EUR"), (2**63, "EUR"), (1, "EURO"), (1, "€€€")])
def test_nonsense_is_refused(run: Run, gateway: PaymentGateway, amount: int, currency: str) -> None:
    with pytest.raises(Invalid) as refused:
        run(created(gateway, amount, currency))
    assert refused.value.code == "PAYMENT_REFUSED"


def test_it_has_no_webhooks(run: Run, gateway: PaymentGateway) -> None:
    with pytest.raises(Invalid) as refused:
        gateway.read_event(b"{}", "t=1,v1=00")
    assert refused.value.code == "WEBHOOK_NOT_SUPPORTED"
    run(gateway.close())
