"""The circuit breaker, the retry budget and the call that uses them, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from edurise.adapters.resilience import CircuitBreaker, CircuitOpenError, RetryBudget, call

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


class Ticker:
    """Monotonic time in seconds; sleeping moves it."""

    def __init__(self) -> None:
        self.at = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


class Service:
    """Answers with what it was told, one after the other."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self) -> object:
        self.asked += 1
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class DownError(Exception):
    """The service failed."""


class DeclinedError(Exception):
    """The service answered no."""


@pytest.fixture
def ticker() -> Ticker:
    return Ticker()


@pytest.fixture
def run() -> Iterator[Run[Any]]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def breaker(ticker: Ticker) -> CircuitBreaker:
    return CircuitBreaker("service", failures=3, open_s=10.0, now=ticker)


def ask(ticker: Ticker, service: Callable[[], Any], breaker: CircuitBreaker, **more: Any) -> Coroutine[Any, Any, Any]:
    options = {"timeout_s": 5.0, "attempts": 3, "budget": RetryBudget(now=ticker), "jitter": lambda: 1.0} | more
    return call(
        service,
        breaker=breaker,
        retry_on=lambda e: isinstance(e, DownError),
        backoff_s=1.0,
        sleep=ticker.sleep,
        **options,
    )


def test_a_breaker_opens_after_failures_in_a_row_only(breaker: CircuitBreaker) -> None:
    for _ in range(5):
        breaker.failed(breaker.admit())
        breaker.failed(breaker.admit())
        breaker.succeeded(breaker.admit())
    assert breaker.state == "closed"


def test_an_open_breaker_admits_nobody_and_says_for_how_long(ticker: Ticker, breaker: CircuitBreaker) -> None:
    open_up(breaker)
    ticker.at += 4.0
    with pytest.raises(CircuitOpenError) as refused:
        breaker.admit()
    assert refused.value.retry_after_s == pytest.approx(6.0)
    assert breaker.state == "open"


def test_a_half_open_breaker_admits_one_probe(ticker: Ticker, breaker: CircuitBreaker) -> None:
    open_up(breaker)
    ticker.at += 10.0
    assert breaker.state == "half_open"
    probe = breaker.admit()
    with pytest.raises(CircuitOpenError):
        breaker.admit()
    breaker.succeeded(probe)
    assert breaker.state == "closed"


def test_a_failed_probe_opens_the_breaker_for_the_whole_time_again(ticker: Ticker, breaker: CircuitBreaker) -> None:
    open_up(breaker)
    ticker.at += 10.0
    breaker.failed(breaker.admit())
    ticker.at += 9.9
    assert breaker.state == "open"
    ticker.at += 0.1
    assert breaker.state == "half_open"


def test_a_probe_whose_caller_went_away_makes_room_for_another(ticker: Ticker, breaker: CircuitBreaker) -> None:
    open_up(breaker)
    ticker.at += 10.0
    breaker.released(breaker.admit())
    breaker.succeeded(breaker.admit())
    assert breaker.state == "closed"


def test_a_late_answer_from_before_the_opening_does_not_close_it(ticker: Ticker, breaker: CircuitBreaker) -> None:
    early = breaker.admit()
    open_up(breaker)
    breaker.succeeded(early)
    assert breaker.state == "open"
    ticker.at += 10.0
    probe = breaker.admit()
    breaker.failed(early)
    breaker.succeeded(probe)
    assert breaker.state == "closed"


def test_a_breaker_needs_a_threshold() -> None:
    with pytest.raises(ValueError, match="failures"):
        CircuitBreaker("service", failures=0)


def test_a_budget_is_spent_and_comes_back_with_calls_and_time(ticker: Ticker) -> None:
    budget = RetryBudget(capacity=2.0, ratio=0.5, refill_per_s=0.1, now=ticker)
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]
    budget.deposit()
    budget.deposit()
    assert [budget.withdraw() for _ in range(2)] == [True, False]
    ticker.at += 10.0
    assert [budget.withdraw() for _ in range(2)] == [True, False]
    ticker.at += 1_000_000.0
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]


def test_a_call_is_repeated_with_growing_pauses(run: Run[Any], ticker: Ticker, breaker: CircuitBreaker) -> None:
    service = Service(DownError(), DownError(), "answer")
    assert run(ask(ticker, service, breaker)) == "answer"
    assert ticker.slept == [1.0, 2.0]
    assert breaker.state == "closed"


def test_jitter_takes_at_most_half_of_the_pause(run: Run[Any], ticker: Ticker, breaker: CircuitBreaker) -> None:
    run(ask(ticker, Service(DownError(), "answer"), breaker, jitter=lambda: 0.0))
    assert ticker.slept == [0.5]


def test_a_failure_may_ask_for_a_longer_pause_but_not_for_a_shorter_one(
    run: Run[Any], ticker: Ticker, breaker: CircuitBreaker
) -> None:
    asked = iter([4.0, 0.1])
    service = Service(DownError(), DownError(), "pong")
    assert run(ask(ticker, service, breaker, asked_pause_s=lambda _: next(asked))) == "pong"
    assert ticker.slept == [4.0, 2.0]


def test_the_last_failure_is_raised(run: Run[Any], ticker: Ticker, breaker: CircuitBreaker) -> None:
    last = DownError("last")
    service = Service(DownError(), last)
    with pytest.raises(DownError) as raised:
        run(ask(ticker, service, breaker, attempts=2))
    assert raised.value is last


def test_an_answer_is_never_repeated_and_counts_as_health(
    run: Run[Any], ticker: Ticker, breaker: CircuitBreaker
) -> None:
    service = Service(*[DeclinedError() for _ in range(9)])
    for _ in range(9):
        with pytest.raises(DeclinedError):
            run(ask(ticker, service, breaker))
    assert service.asked == 9
    assert breaker.state == "closed"


def test_without_budget_there_is_one_attempt(run: Run[Any], ticker: Ticker, breaker: CircuitBreaker) -> None:
    empty = RetryBudget(capacity=0.0, now=ticker)
    service = Service(DownError())
    with pytest.raises(DownError):
        run(ask(ticker, service, breaker, budget=empty))
    assert service.asked == 1


def test_an_open_circuit_spares_the_service(run: Run[Any], ticker: Ticker, breaker: CircuitBreaker) -> None:
    service = Service(DownError(), DownError(), DownError(), "never asked for")
    with pytest.raises(CircuitOpenError):
        run(ask(ticker, service, breaker, attempts=4))
    assert service.asked == 3


def test_silence_is_a_failure(run: Run[Any], ticker: Ticker, breaker: CircuitBreaker) -> None:
    async def silent() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(TimeoutError):
        run(ask(ticker, silent, breaker, timeout_s=0.001, attempts=2))
    assert ticker.slept == [1.0]


def test_a_cancelled_probe_lets_the_next_one_through(run: Run[Any], ticker: Ticker, breaker: CircuitBreaker) -> None:
    open_up(breaker)
    ticker.at += 10.0

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(ask(ticker, cancelled, breaker))
    assert run(ask(ticker, Service("answer"), breaker)) == "answer"


def open_up(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        breaker.failed(breaker.admit())
    assert breaker.state == "open"
