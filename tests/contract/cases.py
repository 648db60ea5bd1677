"""How a case of the contract test is written, and what many readers take of an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.contract import reading
from tests.harness.client import Answer, Client
from tests.harness.world import World

API = "/api/v1"
# Fields that a shape declares without "?" and that no screen of this calls needs: who is online is not known
# yet; a user object inside a course is the instructor's public face, whose address nobody else may read.
LEFT_OUT: Mapping[str, frozenset[str]] = {
    "Course": frozenset(("organization", "organization_name", "category_details")),
    "Notification": frozenset(),
}


@dataclass(frozen=True)
class Sent:
    """What one case sends, and as whom."""

    client: Client
    body: dict[str, Any] | None = None
    id: object = ""
    query: str = ""
    raw: bytes | None = None
    media: str = "application/json"


@dataclass(frozen=True)
class Case:
    """A call of the contract: how to come to it, and what its readers take of the answer."""

    make: Callable[[World], Sent]
    check: Callable[[Mapping[str, Any], Answer], list[str]]
    status: int = 200
    errors: tuple[str, ...] = field(default=())


def complete(shape: str, value: Mapping[str, Any]) -> list[str]:
    """Types by the shape, and every field that is not optional there."""
    declared = [name for name in reading.shape(shape) if not name.endswith("?")]
    missing = [name for name in declared if name not in value and name not in LEFT_OUT.get(shape, ())]
    return reading.faults(shape, value, shape) + [f"{shape}.{name}: missing" for name in missing]


def both(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    """The fields of ``data`` in ``data`` and, for the readers of the body alone, at the top level."""
    return reading.faults(spec["data"], answer.data) + reading.faults(spec["data"], answer.body, "body")


def in_data(spec: Mapping[str, Any], answer: Answer) -> list[str]:
    return reading.faults(spec["data"], answer.data)


def of_shape(shape: str) -> Callable[[Mapping[str, Any], Answer], list[str]]:
    return lambda _, answer: complete(shape, answer.data)


def nothing(_: Mapping[str, Any], answer: Answer) -> list[str]:
    return [] if answer.body["success"] is True else ["no success"]


def page_at_both_levels(answer: Answer) -> list[str]:
    names = ("count", "next", "previous", "results")
    return [f"{name} at one level only" for name in names if answer.data[name] != answer.body[name]]
