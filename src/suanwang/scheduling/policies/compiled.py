"""How kernels are compiled: once per machine and version of the code, with the interpreter lock released.

Compiled code is kept in a folder named by the digest of every source that has kernels, and of all of `scheduling`: a kernel
holds the code of those it calls and the constants it names, so a change in one of them makes all of them anew.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

import suanwang

F = TypeVar("F", bound=Callable[..., Any])
_njit: Any = numba.njit
_ROOMS = ("scheduling", "twin", "trading")


def _folder() -> Path:
    """Where compiled kernels are kept: under numba's own setting where there is one, else under the user's cache."""
    root = Path(suanwang.__file__).parent
    digest = hashlib.sha256(numba.__version__.encode())
    for room in _ROOMS:
        for source in sorted((root / room).rglob("*.py")):
            text = source.read_bytes()
            if room == "scheduling" or b"kernel" in text or b"njit" in text:
                digest.update(text)
    said = getattr(numba.config, "CACHE_DIR", "")
    base = Path(said) if said else Path.home() / ".cache" / "suanwang" / "kernels"
    folder = base / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="suanwang-kernels-"))
    return folder


setattr(numba.config, "CACHE_DIR", str(_folder()))  # noqa: B010 - the module declares no names


def kernel(function: F) -> F:
    """`function` compiled on its first call. It makes no arrays: its caller holds all that it works on.

    So nothing need be counted that refers to them. Counting is done by atomic instructions at every use of a board, and
    took four fifths of the time of a play.
    """
    return cast("F", _njit(cache=True, nogil=True, _nrt=False)(function))


def allocating(function: F) -> F:
    """As `kernel`, for the few that make arrays of their own."""
    return cast("F", _njit(cache=True, nogil=True, _nrt=True)(function))


def inlined(function: F) -> F:
    """As `kernel`, but put into the kernels that call it: for what is called for every job and event."""
    return cast("F", _njit(cache=True, nogil=True, _nrt=False, inline="always")(function))
