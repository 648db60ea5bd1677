"""The contract's calls about one's own data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.contract.cases import Case, Sent, nothing
from tests.harness.client import Answer
from tests.harness.world import PASSWORD, World


def taking(world: World) -> Sent:
    return Sent(world.of(world.person()))


def leaving(world: World) -> Sent:
    return Sent(world.of(world.person()), {"password": PASSWORD})


def a_file(_: Mapping[str, Any], answer: Answer) -> list[str]:
    """The client takes the name from ``filename="..."``."""
    name = re.search(r'filename="(.*?)"', answer.headers.get("Content-Disposition", ""))
    wrong = [] if name and re.fullmatch(r"user-data-\d{4}-\d\d-\d\d\.json", name[1]) else ["no filename"]
    return wrong if json.loads(answer.content)["data"]["identity"]["people"] else [*wrong, "no person"]


PRIVACY: dict[str, list[Case]] = {
    "me.export_data": [Case(taking, a_file)],
    "me.delete_account": [Case(leaving, nothing)],
}
