"""The real Stripe library against a Stripe that misbehaves."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from edurise.adapters.resilience import CircuitBreaker, RetryBudget
from edurise.adapters.stripe_gateway import StripeGateway
from edurise.errors import Conflict, DomainError, Invalid, NotFound, Upstream
from edurise.payments.ports import Intent, PaymentGateway
from tests.simulators.stripe import DECLINED_AMOUNT, PROCESSING_METHOD, RefusedError, StripeSimulator
from tests.simulators.stripe_webhooks import sign

PAYMENT = UUID("0199c0de-0000-7000-8000-000000000001")
SECRET = "whsec_simulated"
KEY = "sk_test_simulated"
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@dataclass
class Bench:
    """A simulator, a gateway to it, and the time by which the breaker goes; pauses are noted, not made."""

    sim: StripeSimulator
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    async def begin(self) -> None:
        await self.sim.start()
        self.gateway: PaymentGateway = StripeGateway(
            api_key=KEY,
            webhook_secret=SECRET,
            api_url=self.sim.url,
            timeout_s=0.5,
            breaker=CircuitBreaker("stripe", failures=4, open_s=20.0, now=lambda: self.now),
            budget=RetryBudget(now=lambda: self.now),
            sleep=self.pause,
        )

    async def end(self) -> None:
        await self.gateway.close()
        await self.sim.stop()

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def create(self, amount: int = 4900, currency: str = "EUR", payment_id: UUID = PAYMENT) -> Intent:
        return await self.gateway.create_intent(
            payment_id=payment_id, amount_minor=amount, currency=currency, description="Algebra"
        )


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def bench(run: Run) -> Iterator[Bench]:
    made = Bench(StripeSimulator(secret=SECRET, api_key=KEY))
    run(made.begin())
    yield made
    run(made.end())


def refusal(run: Run, work: Coroutine[Any, Any, Any]) -> DomainError:
    with pytest.raises(DomainError) as refused:
        run(work)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__, "a traceback would quote the library's error"
    return refused.value


def signed(body: bytes, *, secret: str = SECRET, at: int | None = None) -> tuple[bytes, str]:
    return body, sign(body, secret, at)


def event(type_: str, about: dict[str, object]) -> bytes:
    return json.dumps(
        {"id": "evt_1", "object": "event", "type": type_, "created": 7, "data": {"object": about}}
    ).encode()


def test_an_intent_is_created_found_and_paid(run: Run, bench: Bench) -> None:
    created = run(bench.create())
    assert created.reference.startswith("pi_")
    assert created.client_secret
    assert created.client_secret.startswith(created.reference)
    assert created == Intent(created.reference, created.client_secret, "requires_payment", 4900, "EUR", PAYMENT)
    assert run(bench.gateway.confirm(created.reference)) == created
    run(in_loop(lambda: bench.sim.confirm(created.reference)))
    assert run(bench.gateway.confirm(created.reference)).status == "succeeded"
    assert run(bench.gateway.find_intent(created.reference)).status == "succeeded"
    assert bench.sim.intents[created.reference]["metadata"] == {"payment_id": str(PAYMENT)}
    assert bench.sim.intents[created.reference]["description"] == "Algebra"


def test_slow_methods_process_first(run: Run, bench: Bench) -> None:
    reference = run(bench.create()).reference
    run(in_loop(lambda: bench.sim.confirm(reference, PROCESSING_METHOD)))
    assert run(bench.gateway.confirm(reference)).status == "processing"
    run(in_loop(lambda: bench.sim.settle(reference)))
    assert run(bench.gateway.find_intent(reference)).status == "succeeded"


def test_a_canceled_intent_says_so(run: Run, bench: Bench) -> None:
    reference = run(bench.create()).reference
    run(in_loop(lambda: bench.sim.cancel(reference)))
    assert run(bench.gateway.find_intent(reference)).status == "canceled"


def test_one_payment_has_one_intent_however_often_it_is_asked_for(run: Run, bench: Bench) -> None:
    async def storm() -> list[Intent]:
        return await asyncio.gather(*(bench.create() for _ in range(5)))

    assert len({intent.reference for intent in run(storm())}) == 1
    assert bench.sim.counts["created"] == 1


def test_the_same_payment_with_another_amount_is_a_conflict(run: Run, bench: Bench) -> None:
    run(bench.create(4900))
    refused = refusal(run, bench.create(4901))
    assert isinstance(refused, Conflict)
    assert refused.code == "PAYMENT_INTENT_MISMATCH"


def test_an_answer_that_never_comes_does_not_make_a_second_intent(run: Run, bench: Bench) -> None:
    bench.sim.plan.hang = 1
    intent = run(bench.create())
    assert list(bench.sim.intents) == [intent.reference]
    assert bench.sim.counts["replayed"] == 1
    assert len(bench.pauses) == 1


@pytest.mark.parametrize("status", [429, 500, 503, 409])
def test_failures_are_repeated(run: Run, bench: Bench, status: int) -> None:
    bench.sim.plan.fail, bench.sim.plan.fail_status = 2, status
    assert run(bench.create()).status == "requires_payment"
    assert len(bench.pauses) == 2


def test_a_failure_after_success_does_not_make_a_second_intent(run: Run, bench: Bench) -> None:
    bench.sim.plan.fail_after = 1
    run(bench.create())
    assert bench.sim.counts["created"] == 1


def test_an_outage_opens_the_circuit_and_a_probe_closes_it(run: Run, bench: Bench) -> None:
    bench.sim.plan.fail = 4
    for _ in range(2):
        refused = refusal(run, bench.create())
        assert isinstance(refused, Upstream)
        assert refused.code == "PAYMENT_GATEWAY_UNAVAILABLE"
    assert bench.sim.counts["requests"] == 4
    bench.now += 5.0
    assert refusal(run, bench.create()).retry_after_s == pytest.approx(15.0)
    assert bench.sim.counts["requests"] == 4, "an open circuit asks nobody"
    bench.now += 15.0
    assert run(bench.create()).status == "requires_payment"


def test_silence_ends_in_upstream(run: Run, bench: Bench) -> None:
    bench.sim.plan.hang = 3
    assert refusal(run, bench.create()).code == "PAYMENT_GATEWAY_UNAVAILABLE"


def test_nobody_there_is_upstream(run: Run, bench: Bench) -> None:
    run(bench.sim.stop())
    assert refusal(run, bench.create()).code == "PAYMENT_GATEWAY_UNAVAILABLE"


@pytest.mark.parametrize(
    ("method", "reason"),
    [("pm_card_chargeDeclined", "generic_decline"), ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds")],
)
def test_a_declined_card_is_told_with_its_reason_and_may_be_tried_again(
    run: Run, bench: Bench, method: str, reason: str
) -> None:
    reference = run(bench.create()).reference
    with pytest.raises(RefusedError):
        run(in_loop(lambda: bench.sim.confirm(reference, method)))
    declined = refusal_of(run, bench.gateway.confirm(reference))
    assert (declined.code, declined.params) == ("PAYMENT_DECLINED", {"reason": reason})
    assert run(bench.gateway.find_intent(reference)).status == "requires_payment"
    run(in_loop(lambda: bench.sim.confirm(reference)))
    assert run(bench.gateway.confirm(reference)).status == "succeeded"


def test_the_amount_402_is_declined(run: Run, bench: Bench) -> None:
    reference = run(bench.create(DECLINED_AMOUNT)).reference
    with pytest.raises(RefusedError):
        run(in_loop(lambda: bench.sim.confirm(reference)))
    assert refusal_of(run, bench.gateway.confirm(reference)).code == "PAYMENT_DECLINED"


def test_a_card_error_of_the_api_is_a_decline(run: Run, bench: Bench) -> None:
    bench.sim.plan.fail, bench.sim.plan.fail_status = 1, 402
    refused = refusal(run, bench.create())
    assert (refused.code, refused.params) == ("PAYMENT_DECLINED", {"reason": "declined"})
    assert bench.pauses == []


@pytest.mark.parametrize(("amount", "currency"), [(0, "EUR"), (100_000_000, "EUR"), (4900, "EURO")])
def test_what_stripe_does_not_take_is_refused_without_repeating(
    run: Run, bench: Bench, amount: int, currency: str
) -> None:
    refused = refusal(run, bench.create(amount, currency))
    assert isinstance(refused, Invalid)
    assert refused.code == "PAYMENT_REFUSED"
    assert bench.sim.counts["requests"] == 1


@pytest.mark.parametrize(
    "reference", ["pi_unknown", "../refunds", "pi_x/confirm", "pi_x?y#z", "sandbox_AAAA", "", "pi_é"]
)
def test_an_unknown_reference_is_not_found(run: Run, bench: Bench, reference: str) -> None:
    run(bench.create())
    assert isinstance(refusal_of(run, bench.gateway.find_intent(reference)), NotFound)


@pytest.mark.parametrize(
    "nonsense",
    [{"status": "requires_prayer"}, {"currency": None}, {"amount": "much"}, {"currency": "mga", "amount": 0.5}],
)
def test_an_intent_that_makes_no_sense_is_stripes_fault(run: Run, bench: Bench, nonsense: dict[str, object]) -> None:
    reference = run(bench.create()).reference
    bench.sim.intents[reference] |= nonsense
    assert refusal(run, bench.gateway.find_intent(reference)).code == "PAYMENT_GATEWAY_UNAVAILABLE"


def test_a_wrong_key_is_our_own_fault_and_not_the_payers(run: Run, bench: Bench) -> None:
    bench.sim.api_key = "sk_test_other"
    assert refusal(run, bench.create()).code == "PAYMENT_GATEWAY_UNAVAILABLE"
    assert bench.pauses == []


@pytest.mark.parametrize(("minor", "currency", "units"), [(500, "ISK", 50_000), (500, "JPY", 500), (500, "MGA", 5)])
def test_amounts_are_told_in_stripes_own_units(run: Run, bench: Bench, minor: int, currency: str, units: int) -> None:
    intent = run(bench.create(minor, currency))
    assert bench.sim.intents[intent.reference]["amount"] == units
    assert (intent.amount_minor, intent.currency) == (minor, currency)


def test_an_amount_that_stripe_cannot_express_is_refused(run: Run, bench: Bench) -> None:
    with pytest.raises(Invalid, match="PAYMENT_REFUSED"):
        run(bench.create(501, "MGA"))
    assert bench.sim.counts["requests"] == 0


def test_each_loop_has_a_client_of_its_own(bench: Bench) -> None:
    gateway = StripeGateway(api_key=KEY, webhook_secret=SECRET, api_url="http://127.0.0.1:9", attempts=1)
    for _ in range(2):
        with asyncio.Runner() as runner:
            for _ in range(2):
                assert refusal(runner.run, gateway.find_intent("pi_1")).code == "PAYMENT_GATEWAY_UNAVAILABLE"
            runner.run(gateway.close())
            runner.run(gateway.close())


def test_no_body_is_ever_logged(run: Run, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    intent = run(bench.create())
    bench.sim.plan.fail = 9
    refusal(run, bench.create())
    assert "status 500" in caplog.text
    assert str(intent.client_secret) not in caplog.text
    assert "Algebra" not in caplog.text


def test_a_signed_event_is_read(bench: Bench) -> None:
    body = event("payment_intent.succeeded", {"object": "payment_intent", "id": "pi_1"})
    read = bench.gateway.read_event(*signed(body))
    assert (read.id, read.type, read.intent_reference, read.created) == ("evt_1", "payment_intent.succeeded", "pi_1", 7)


@pytest.mark.parametrize(
    ("about", "reference"),
    [
        ({"object": "charge", "id": "ch_1", "payment_intent": "pi_1"}, "pi_1"),
        ({"object": "charge", "id": "ch_1", "payment_intent": None}, None),
        ({"object": "customer", "id": "cus_1"}, None),
    ],
)
def test_events_about_other_things_name_their_intent_if_any(
    bench: Bench, about: dict[str, object], reference: str | None
) -> None:
    assert bench.gateway.read_event(*signed(event("any", about))).intent_reference == reference


def test_a_wrong_signature_is_refused(bench: Bench) -> None:
    body = event("payment_intent.succeeded", {"object": "payment_intent", "id": "pi_1"})
    good = sign(body, SECRET)
    stamp = good.partition(",")[0]
    forged = [
        (body + b" ", good),
        (body.replace(b"pi_1", b"pi_2"), good),
        signed(body, secret="whsec_other"),
        signed(body, at=int(time.time()) - 301),
        (body, ""),
        (body, "nonsense"),
        (body, f"{stamp},v0={good.partition('v1=')[2]}"),
        (body, f"{stamp},v1=ünïcode"),
        (body, "t=" + "9" * 5000 + ",v1=00"),
        (b"\xff\xfe", good),
    ]
    for raw, signature in forged:
        with pytest.raises(Invalid) as refused:
            bench.gateway.read_event(raw, signature)
        assert refused.value.code == "WEBHOOK_SIGNATURE"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"object": "v2.core.event"}', b'{"data": {"object": 1}}']
)
def test_a_signed_body_that_is_no_event_is_refused(bench: Bench, body: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        bench.gateway.read_event(*signed(body))
    assert refused.value.code == "WEBHOOK_BODY"


async def in_loop(work: Callable[[], object]) -> object:
    return work()


def refusal_of(run: Run, work: Coroutine[Any, Any, Any]) -> DomainError:
    """A refusal that was made here, of an answer that was read well."""
    with pytest.raises(DomainError) as refused:
        run(work)
    return refused.value
