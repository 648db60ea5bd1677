"""``python -m tests.harness.serve COMMAND …``: run a command beside PostgreSQL, Redis and RabbitMQ.

A service that answers where the tests look for it is used as it is. For the others an own one is started, on the
standard port or, where something else listens there, on a second one, and stopped when the command ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.harness.machine import SHARED, answers
from tests.harness.services import OwnPostgres, OwnRabbit, OwnRedis, OwnService, ServiceError, scratch

SECOND_PORTS = {"postgres": 25432, "redis": 26379, "rabbitmq": 25680}
KINDS: dict[str, type[OwnService]] = {"postgres": OwnPostgres, "redis": OwnRedis, "rabbitmq": OwnRabbit}


def main(command: list[str]) -> int:
    """Start what is missing, run the command and return its exit code."""
    environment = dict(os.environ)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(scratch())
        for name, shared in SHARED.items():
            if answers(name):
                print(f"{name}: the one at port {shared.port}", flush=True)
                continue
            service = KINDS[name](Path(directory / name), _free_port(name))
            stack.enter_context(service)
            environment[shared.variable] = service.admin_url if isinstance(service, OwnPostgres) else service.url
            print(f"{name}: started at port {service.port}", flush=True)
        return subprocess.run(command, env=environment, check=False).returncode


def _free_port(name: str) -> int:
    """Return the standard port, or the second one if something listens there."""
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", SHARED[name].port)) == 0
    return SECOND_PORTS[name] if taken else SHARED[name].port


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ServiceError as error:
        sys.exit(str(error))
