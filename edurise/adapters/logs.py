"""Logs: one JSON object a line on stderr, with what is bound to the request or delivery at hand."""

from __future__ import annotations

import logging
import sys

import orjson
import structlog


def configure_logs(level: str) -> None:
    """Set up structlog and the standard library's root at ``level``; libraries speak from WARNING on."""
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    for library in ("aio_pika", "aiormq", "httpx", "stripe"):
        logging.getLogger(library).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", key="at"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=lambda line, **_: orjson.dumps(line, default=str).decode()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
