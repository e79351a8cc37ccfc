"""The typed client: what programs, the command line and agents use to talk to a network over HTTP.

Owns the wire's values, the table of error kinds, and patience. Knows the domain and the task file, nothing of stores.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from suanwang.client.client import Client
    from suanwang.client.link import HttpLink

__all__ = ["Client", "HttpLink"]


def __getattr__(name: str) -> Any:
    # Agents need the link alone: the client's many models would double the time they take to start.
    if name == "Client":
        from suanwang.client.client import Client

        return Client
    if name == "HttpLink":
        from suanwang.client.link import HttpLink

        return HttpLink
    raise AttributeError(name)
