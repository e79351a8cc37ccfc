"""The command line: parse, call the client, render. It decides nothing that the network decides."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command in `sys.argv` and exit with its status."""
    from suanwang.cli.app import run

    run()
