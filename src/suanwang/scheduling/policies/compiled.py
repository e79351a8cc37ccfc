"""How kernels run: compiled once per machine and version of the code, or as plain Python where that is quicker.

Compiled code is kept in a folder named by the digest of every source that has kernels, and of all of `scheduling`: a kernel
holds the code of those it calls and the constants it names, so a change in one of them makes all of them anew. The compiler
is loaded with the first call that needs it: small networks live without. Who uses a folder says so by a lock that goes with
its process; folders that nobody uses are swept by others (`wiring.compiling`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, cast

import suanwang

F = TypeVar("F", bound=Callable[..., Any])
KEPT = Path(".cache", "suanwang", "kernels")
"""Under a user's home."""
USED = ".used"
"""In each folder: changed when a process begins to use it, and locked while one does."""
_ROOMS = ("domain", "scheduling", "twin", "trading")


def _folder(base: Path, version: str) -> Path:
    """Where compiled kernels are kept under `base`."""
    root = Path(suanwang.__file__).parent
    digest = hashlib.sha256(version.encode())
    for room in _ROOMS:
        for source in sorted((root / room).rglob("*.py")):
            text = source.read_bytes()
            if room == "scheduling" or b"kernel" in text or b"njit" in text:
                digest.update(text)
    folder = base / digest.hexdigest()[:16]
    try:
        while not _is_used(folder):
            pass
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="suanwang-kernels-"))
    return folder


def _is_used(folder: Path) -> bool:
    """Say that this process uses the folder, until it ends; False where it was swept meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / USED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with suppress(OSError):  # A file system without locks: then the time alone tells.
        fcntl.flock(handle, fcntl.LOCK_SH)
    if os.fstat(handle).st_nlink == 0:
        os.close(handle)
        return False
    os.utime(handle)
    return True


@cache
def _njit() -> Any:
    """The compiler. Its folder is under its own setting where there is one, else under the user's cache."""
    import numba

    said = getattr(numba.config, "CACHE_DIR", "")
    base = Path(said) if said else Path.home() / KEPT
    setattr(numba.config, "CACHE_DIR", str(_folder(base, numba.__version__)))  # noqa: B010 - the module declares no names
    return numba.njit


class _Kernel:
    """Compiled where it is called. Compiled kernels that call it take it for one of the compiler's own functions, by the
    last three of its names."""

    def __init__(self, function: FunctionType, **options: object) -> None:
        self.py_func, self.targetoptions = function, options
        update_wrapper(self, function)

    @cached_property
    def compiled(self) -> Any:
        return _njit()(cache=True, nogil=True, **self.targetoptions)(self.py_func)

    def __call__(self, *arguments: object) -> Any:
        return self.compiled(*arguments)

    @property
    def _numba_type_(self) -> Any:
        return self.compiled._numba_type_

    @cached_property
    def plain(self) -> FunctionType:
        """The function as it stands, calling others as they stand."""
        own, known = self.py_func, self.py_func.__globals__
        called = {name: known[name] for name in own.__code__.co_names if name in known}
        found = {name: of.plain if isinstance(of, _Kernel) else of for name, of in called.items()}
        return FunctionType(own.__code__, {**found, "__builtins__": __builtins__}, own.__name__, own.__defaults__)


def kernel(function: F) -> F:
    """`function` compiled on its first call. It makes no arrays: its caller holds all that it works on.

    So nothing need be counted that refers to them. Counting is done by atomic instructions at every use of a board, and
    took four fifths of the time of a play.
    """
    return cast("F", _Kernel(cast("FunctionType", function), _nrt=False))


def allocating(function: F) -> F:
    """As `kernel`, for the few that make arrays of their own."""
    return cast("F", _Kernel(cast("FunctionType", function), _nrt=True))


def inlined(function: F) -> F:
    """As `kernel`, but put into the kernels that call it: for what is called for every job and event."""
    return cast("F", _Kernel(cast("FunctionType", function), _nrt=False, inline="always"))


def plain(function: F) -> F:
    """The same lines without the compiler, over a board of `board.listed`: quicker for few jobs on few rows."""
    return cast("F", cast("_Kernel", function).plain)


def compiled(function: F) -> F:
    """The same as a call has it, without a look at which of the two it is."""
    return cast("F", cast("_Kernel", function).compiled)
