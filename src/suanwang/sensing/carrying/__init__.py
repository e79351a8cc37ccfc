"""Carrying files between a site and the network: packed, checked on arrival, kept by their content.

Everything that arrives is distrusted until it hashes right, and an archive stays distrusted after that.
"""

from suanwang.sensing.carrying.cache import SiteCache
from suanwang.sensing.carrying.packing import Packed, changed_since, pack, pack_stable, signature
from suanwang.sensing.carrying.transfer import FileLink, Patience, fetch, send
from suanwang.sensing.carrying.tree import Limits
from suanwang.sensing.carrying.unpacking import unpack

__all__ = [
    "FileLink",
    "Limits",
    "Packed",
    "Patience",
    "SiteCache",
    "changed_since",
    "fetch",
    "pack",
    "pack_stable",
    "send",
    "signature",
    "unpack",
]
