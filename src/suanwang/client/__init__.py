"""The typed client: what programs, the command line and agents use to talk to a network over HTTP.

Owns the wire's values, the table of error kinds, and patience. Knows the domain and the task file, nothing of stores.
"""

from suanwang.client.client import Client
from suanwang.client.link import HttpLink

__all__ = ["Client", "HttpLink"]
