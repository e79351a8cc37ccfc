"""Where the network's structured log goes: one JSON object a line, or coloured lines where a person watches.

Owns the log's form. What is worth a line is decided where it happens.
"""

from __future__ import annotations

from typing import TextIO

import structlog

_WARNING = 30
"""As the standard library numbers levels."""


def log_to(stream: TextIO, *, only_warnings: bool = False) -> None:
    """Send the log of this process to `stream`, never to standard output, which belongs to a command's result."""
    shown: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            shown,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_WARNING if only_warnings else 0),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
    )
