"""What the plan of an organization allows. The numbers come from the settings until plans can be edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

V = TypeVar("V")

PLANS = ("basic", "pro", "enterprise")


@dataclass(frozen=True)
class PlanLimits:
    """The limits of one organization. ``file_types`` are groups of ``files.types`` or extensions; None: all."""

    storage_bytes: int
    course_storage_bytes: int
    person_storage_bytes: int
    file_bytes: int
    file_types: frozenset[str] | None
    downloads_per_day: int
    users: int
    courses: int
    ai_questions_per_day: int
    sockets: int


@dataclass(frozen=True)
class Limits:
    """Each mapping is by plan or, before that, by the subdomain of an organization; what a plan lacks, ``basic``
    gives."""

    storage_bytes: Mapping[str, int]
    course_storage_bytes: Mapping[str, int]
    person_storage_bytes: Mapping[str, int]
    file_bytes: Mapping[str, int]
    file_types: Mapping[str, frozenset[str]]
    downloads_per_day: Mapping[str, int]
    users: Mapping[str, int]
    courses: Mapping[str, int]
    ai_questions_per_day: Mapping[str, int]
    sockets: Mapping[str, int]

    def of(self, plan: str, subdomain: str) -> PlanLimits:
        """The limits of an organization of this plan and name."""

        def choose(numbers: Mapping[str, int]) -> int:
            return numbers.get(subdomain, numbers.get(plan, numbers["basic"]))

        return PlanLimits(
            storage_bytes=choose(self.storage_bytes),
            course_storage_bytes=choose(self.course_storage_bytes),
            person_storage_bytes=choose(self.person_storage_bytes),
            file_bytes=choose(self.file_bytes),
            file_types=self.file_types.get(subdomain, self.file_types.get(plan)),
            downloads_per_day=choose(self.downloads_per_day),
            users=choose(self.users),
            courses=choose(self.courses),
            ai_questions_per_day=choose(self.ai_questions_per_day),
            sockets=choose(self.sockets),
        )


_BOUNDLESS = {"basic": 2**62}
UNLIMITED = Limits(
    storage_bytes=_BOUNDLESS,
    course_storage_bytes=_BOUNDLESS,
    person_storage_bytes=_BOUNDLESS,
    file_bytes=_BOUNDLESS,
    file_types={},
    downloads_per_day=_BOUNDLESS,
    users=_BOUNDLESS,
    courses=_BOUNDLESS,
    ai_questions_per_day=_BOUNDLESS,
    sockets=_BOUNDLESS,
)
"""For what fills a database by itself: generators and measurements."""


def in_bytes(given: Mapping[str, float], unit: int) -> dict[str, int]:
    """Numbers of a ``unit`` as bytes."""
    return {name: int(number * unit) for name, number in given.items()}


def read_types(given: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """``{"basic": "image+pdf"}`` as sets of words."""
    return {name: frozenset(words.split("+")) for name, words in given.items()}
