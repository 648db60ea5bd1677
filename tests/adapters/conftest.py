"""The object storage that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.machine import require
from tests.harness.object_storage import OwnSeaweed
from tests.harness.services import scratch

OBJECT_STORAGE_PORT = 23000


@pytest.fixture(scope="session")
def object_storage() -> Iterator[OwnSeaweed]:
    """A real S3, one for each test session."""
    require("weed")
    with scratch() as directory, OwnSeaweed(directory, OBJECT_STORAGE_PORT) as running:
        yield running
