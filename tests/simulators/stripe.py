"""A Stripe as unkind as the real one can be: PaymentIntents and Refunds on its wire protocol, and signed webhooks.

In process: ``sim = StripeSimulator(...)``, ``await sim.start()``, ``sim.url``, ``await sim.stop()``. As a process:
``python -m tests.simulators.stripe --port N --webhook URL --secret S``. What goes wrong is set by ``sim.plan`` or
``POST /_sim/plan``; ``GET /_sim/state`` lists and counts; ``POST /_sim/release`` sends held webhooks, in reverse order;
``POST /_sim/resend`` repeats them all; ``POST /_sim/intents/<id>/settle`` ends ``processing``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.simulators.stripe_webhooks import Courier, Plan

Params = Mapping[str, str]
Answer = tuple[int, dict[str, Any]]
DECLINED_AMOUNT = 402
DECLINES = {
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_visa_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
}
PROCESSING_METHOD = "pm_sim_processing"


class RefusedError(Exception):
    """An answer in Stripe's error format."""

    def __init__(self, status: int, type_: str, code: str | None, message: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        error = {"type": type_, "code": code, "message": message, **more}
        self.body = {"error": {name: value for name, value in error.items() if value is not None}}


class StripeSimulator:
    """The books: intents, refunds, idempotency keys. Every method but start and stop is also an HTTP call."""

    def __init__(
        self, *, webhook_url: str | None = None, secret: str = "whsec_simulated", api_key: str = "sk_test_simulated"
    ) -> None:
        self.api_key = api_key
        self.plan = Plan()
        self.courier = Courier(webhook_url, secret, self.plan)
        self.intents: dict[str, dict[str, Any]] = {}
        self.refunds: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.stopping = asyncio.Event()
        self._answers: dict[str, tuple[object, Answer]] = {}
        self._server: HTTPServer | None = None
        self.url = ""

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one."""
        routes = [
            (r"/v1/payment_intents", IntentsHandler),
            (r"/v1/payment_intents/(\w+)", IntentHandler),
            (r"/v1/payment_intents/(\w+)/(confirm|cancel)", IntentVerbHandler),
            (r"/v1/refunds", RefundsHandler),
            (r"/_sim/(plan|state|release|resend)", ControlHandler),
            (r"/_sim/intents/(\w+)/settle", SettleHandler),
        ]
        application = Application([(path, handler, {"sim": self}) for path, handler in routes], log_function=_silent)
        sockets = bind_sockets(port, "127.0.0.1")
        self._server = HTTPServer(application)
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self.stopping.set()
        await self.courier.close()
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()

    def once(self, key: str | None, fingerprint: object, work: Callable[[], Answer]) -> Answer:
        """Carry out ``work`` at most once for an idempotency key; its stored answer is repeated, an error too."""
        known = self._answers.get(key) if key else None
        if known is not None:
            if known[0] != fingerprint:
                message = "Keys for idempotent requests can only be used with the same parameters."
                return 400, RefusedError(400, "idempotency_error", None, message).body
            self.counts["replayed"] += 1
            return known[1]
        try:
            answer = work()
        except RefusedError as refused:
            answer = refused.status, refused.body
        if key:
            self._answers[key] = (fingerprint, answer)
        return answer

    def create(self, params: Params) -> dict[str, Any]:
        amount = _positive(params, "amount")
        currency = params.get("currency", "")
        if len(currency) != 3 or currency != currency.lower():
            raise RefusedError(400, "invalid_request_error", "invalid_currency", "Invalid currency", param="currency")
        if params.get("automatic_payment_methods[enabled]") != "true":
            raise RefusedError(
                400, "invalid_request_error", None, "This simulator knows automatic payment methods only."
            )
        reference = f"pi_{secrets.token_hex(12)}"
        self.intents[reference] = {
            "id": reference,
            "object": "payment_intent",
            "amount": amount,
            "amount_received": 0,
            "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
            "client_secret": f"{reference}_secret_{secrets.token_hex(12)}",
            "created": int(time.time()),
            "currency": currency,
            "description": params.get("description"),
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": {name[9:-1]: value for name, value in params.items() if name.startswith("metadata[")},
            "status": "requires_payment_method",
        }
        self.counts["created"] += 1
        self._emit("payment_intent.created", self.intents[reference])
        return self.intents[reference]

    def find(self, reference: str) -> dict[str, Any]:
        if reference not in self.intents:
            message = f"No such payment_intent: '{reference}'"
            raise RefusedError(404, "invalid_request_error", "resource_missing", message, param="intent")
        return self.intents[reference]

    def confirm(self, reference: str, payment_method: str = "pm_card_visa") -> dict[str, Any]:
        """What the browser does with Stripe.js. Amount 402 and the methods of DECLINES are declined."""
        intent = self._expect(reference, "requires_payment_method", "requires_confirmation", "requires_action")
        decline = DECLINES.get(payment_method) or ("generic_decline" if intent["amount"] == DECLINED_AMOUNT else None)
        if decline:
            intent["last_payment_error"] = {"type": "card_error", "code": "card_declined", "decline_code": decline}
            self._emit("payment_intent.payment_failed", intent)
            message = "Your card was declined."
            raise RefusedError(402, "card_error", "card_declined", message, decline_code=decline, payment_intent=intent)
        intent["last_payment_error"] = None
        if payment_method == PROCESSING_METHOD:
            intent["status"] = "processing"
            self._emit("payment_intent.processing", intent)
            return intent
        return self._succeed(intent)

    def settle(self, reference: str) -> dict[str, Any]:
        """End the processing of a slow payment method, well."""
        return self._succeed(self._expect(reference, "processing"))

    def cancel(self, reference: str) -> dict[str, Any]:
        intent = self._expect(reference, "requires_payment_method", "requires_confirmation", "processing")
        intent["status"] = "canceled"
        self._emit("payment_intent.canceled", intent)
        return intent

    def refund(self, params: Params) -> dict[str, Any]:
        """Refund at most what was received and not yet refunded."""
        intent = self._expect(params.get("payment_intent", ""), "succeeded")
        refunded = sum(refund["amount"] for refund in self.refunds if refund["payment_intent"] == intent["id"])
        left = intent["amount_received"] - refunded
        if left == 0:
            message = "Charge has already been refunded."
            raise RefusedError(400, "invalid_request_error", "charge_already_refunded", message)
        amount = _positive(params, "amount") if "amount" in params else left
        if amount > left:
            message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
            raise RefusedError(400, "invalid_request_error", None, message, param="amount")
        refund = {
            "id": f"re_{secrets.token_hex(12)}",
            "object": "refund",
            "amount": amount,
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "charge": intent["latest_charge"],
            "status": "succeeded",
        }
        self.refunds.append(refund)
        charge = _charge(intent) | {"amount_refunded": refunded + amount, "refunded": amount == left}
        self._emit("charge.refunded", charge)
        return refund

    def state(self) -> dict[str, Any]:
        webhooks = {**self.courier.counts, "held": len(self.courier.held), "pending": self.courier.pending()}
        return {
            "intents": list(self.intents.values()),
            "refunds": self.refunds,
            "counts": dict(self.counts),
            "webhooks": webhooks,
            "events": [{"id": event["id"], "type": event["type"]} for event in self.courier.events],
        }

    def _expect(self, reference: str, *statuses: str) -> dict[str, Any]:
        intent = self.find(reference)
        if intent["status"] not in statuses:
            message = f"You cannot do this to a PaymentIntent because it has a status of {intent['status']}."
            raise RefusedError(400, "invalid_request_error", "payment_intent_unexpected_state", message)
        return intent

    def _succeed(self, intent: dict[str, Any]) -> dict[str, Any]:
        charge = f"ch_{secrets.token_hex(12)}"
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge}
        self.counts["succeeded"] += 1
        self._emit("charge.succeeded", _charge(intent))
        self._emit("payment_intent.succeeded", intent)
        return intent

    def _emit(self, type_: str, about: Mapping[str, Any]) -> None:
        event = {
            "id": f"evt_{secrets.token_hex(12)}",
            "object": "event",
            "api_version": "2026-10-28",
            "created": int(time.time()),
            "data": {"object": json.loads(json.dumps(about))},  # as it is now
            "livemode": False,
            "type": type_,
        }
        self.courier.emit(event)


class ApiHandler(RequestHandler):
    """What all calls under /v1 have in common: who may ask, what goes wrong, idempotency."""

    def initialize(self, sim: StripeSimulator) -> None:
        self.sim = sim
        self.gone = asyncio.Event()

    def on_connection_close(self) -> None:
        self.gone.set()

    def params(self) -> dict[str, str]:
        return {name: values[-1].decode() for name, values in self.request.arguments.items()}

    async def carry_out(self, work: Callable[[Params], dict[str, Any]], *, browser: bool = False) -> None:
        sim, params = self.sim, self.params()
        sim.counts["requests"] += 1
        if not browser and self.request.headers.get("Authorization") != f"Bearer {sim.api_key}":
            self.answer(401, RefusedError(401, "invalid_request_error", None, "Invalid API Key provided").body)
            return
        if sim.plan.take("fail"):
            self.answer(sim.plan.fail_status, RefusedError(0, "api_error", None, "Simulated failure.").body)
            return
        key = self.request.headers.get("Idempotency-Key") if self.request.method == "POST" else None
        fingerprint = (self.request.path, params)
        status, body = sim.once(key, fingerprint, lambda: (200, json.loads(json.dumps(work(params)))))
        if sim.plan.take("hang"):
            await self.pause(None)
        if sim.plan.delay_s:
            await self.pause(sim.plan.delay_s)
        if self.gone.is_set() or sim.stopping.is_set():
            self._auto_finish = False  # nobody listens
        elif sim.plan.take("fail_after"):
            self.answer(500, RefusedError(0, "api_error", None, "Simulated failure after success.").body)
        else:
            self.answer(status, body)

    async def pause(self, seconds: float | None) -> None:
        """Wait, at most until the caller or the simulator goes away."""
        ends = [asyncio.ensure_future(self.gone.wait()), asyncio.ensure_future(self.sim.stopping.wait())]
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()

    def answer(self, status: int, body: object) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("Request-Id", f"req_{secrets.token_hex(7)}")
        self.finish(json.dumps(body, indent=2))


class IntentsHandler(ApiHandler):
    async def post(self) -> None:
        await self.carry_out(self.sim.create)


class IntentHandler(ApiHandler):
    async def get(self, reference: str) -> None:
        await self.carry_out(lambda _: self.sim.find(reference))


class IntentVerbHandler(ApiHandler):
    async def post(self, reference: str, verb: str) -> None:
        intent = self.sim.intents.get(reference)
        # A browser has no secret key; it proves by the client secret that it may pay this intent.
        browser = bool(intent) and self.params().get("client_secret") == intent["client_secret"]
        if verb == "cancel":
            await self.carry_out(lambda _: self.sim.cancel(reference))
        else:
            await self.carry_out(
                lambda params: self.sim.confirm(reference, params.get("payment_method", "pm_card_visa")),
                browser=browser,
            )


class RefundsHandler(ApiHandler):
    async def post(self) -> None:
        await self.carry_out(self.sim.refund)


class ControlHandler(ApiHandler):
    """The test's own calls; nothing goes wrong here."""

    def get(self, what: str) -> None:
        self.answer(200, asdict(self.sim.plan) if what == "plan" else self.sim.state())

    def post(self, what: str) -> None:
        asked = json.loads(self.request.body or b"{}")
        if what == "plan":
            unknown = asked.keys() - asdict(self.sim.plan).keys()
            if unknown:
                self.answer(400, {"unknown": sorted(unknown)})
                return
            for name, value in asked.items():
                setattr(self.sim.plan, name, value)
            self.answer(200, asdict(self.sim.plan))
        elif what == "release":
            self.answer(200, {"released": self.sim.courier.release(asked.get("order", "reverse"))})
        elif what == "resend":
            self.answer(200, {"resent": self.sim.courier.resend(asked.get("event"))})
        else:
            self.answer(405, {})


class SettleHandler(ApiHandler):
    def post(self, reference: str) -> None:
        try:
            self.answer(200, self.sim.settle(reference))
        except RefusedError as refused:
            self.answer(refused.status, refused.body)


def _positive(params: Params, name: str) -> int:
    value = params.get(name, "")
    if not (value.isascii() and value.isdigit() and 0 < int(value) <= 99_999_999):
        raise RefusedError(400, "invalid_request_error", "parameter_invalid_integer", f"Invalid {name}", param=name)
    return int(value)


def _charge(intent: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": intent["latest_charge"],
        "object": "charge",
        "amount": intent["amount"],
        "currency": intent["currency"],
        "payment_intent": intent["id"],
        "paid": True,
    }


def _silent(handler: RequestHandler) -> None:
    """No access log: what a test wants to know is in the state."""


async def serve(port: int, webhook_url: str | None, secret: str, api_key: str) -> None:
    """Run until SIGTERM or SIGINT; one line on standard output says when it listens."""
    sim = StripeSimulator(webhook_url=webhook_url, secret=secret, api_key=api_key)
    await sim.start(port)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    sys.stdout.write(f"stripe simulator at {sim.url}\n")
    sys.stdout.flush()
    await stopped.wait()
    await sim.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A hostile Stripe for tests.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--webhook", default=None, help="URL that gets the webhooks")
    parser.add_argument("--secret", default="whsec_simulated", help="secret that signs them")
    parser.add_argument("--api-key", default="sk_test_simulated")
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.webhook, given.secret, given.api_key))
