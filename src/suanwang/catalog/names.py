"""How people, drivers, Slurm and Kubernetes name a thing, and which thing they mean.

Owns normalising, ambiguity and suggestions. Knows nothing of what is named.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NoReturn

from rapidfuzz import fuzz, process

from suanwang.domain.errors import InvalidRequest

MAX_NAME = 200
_SEPARATORS = dict.fromkeys(map(ord, " \t\r\n\v\f_-·・®"))
_CLOCK = re.compile(r"\s(?:cpu\s*)?@\s*[\d.]+\s*ghz\Z")
"""What `/proc/cpuinfo` puts behind a processor's name."""
_KIND = re.compile(r"(?:gres[:/])?(?:gpu|npu|dcu|mlu|xpu|gcu|tpu):(?=.)")
_SUGGESTIONS = 6


def normal(name: str) -> str:
    """Lower case, half width, without separators and without a leading GRES kind such as `gpu:`."""
    text = unicodedata.normalize("NFKC", name.replace("™", "")).casefold().strip()
    # Most names have none of these signs, and the whole catalogue is indexed when it is first read.
    if ":" in text:
        text = _KIND.sub("", text)
    if "@" in text:
        text = _CLOCK.sub("", text)
    if "(" in text:
        text = text.replace("(r)", "").replace("(tm)", "")
    return text.translate(_SEPARATORS)


class NameIndex:
    """Names of one kind of thing. `own` names mean one thing; `shared` names may mean several."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._own: dict[str, str] = {}
        self._shared: dict[str, tuple[str, ...]] = {}
        self._spelled: dict[str, str] = {}

    def own(self, owner: str, names: Iterable[str], where: str) -> None:
        """Give `owner` names that mean nothing else. Raises `InvalidRequest` where another has one of them."""
        for name in names:
            key = normal(name)
            other = self._own.setdefault(key, owner)
            if other != owner:
                raise InvalidRequest(
                    f"{where}: {name!r} names both {other} and {owner}; give it to one, or list it under `families`",
                    field=f"{owner}.aliases",
                    allowed="names that mean one entry",
                )
            self._spelled.setdefault(key, name)

    def share(self, owner: str, names: Iterable[str]) -> None:
        """Give `owner` names that others may bear too."""
        for name in names:
            key = normal(name)
            owners = self._shared.get(key, ())
            if owner not in owners:
                self._shared[key] = (*owners, owner)
            self._spelled.setdefault(key, name)

    def all_of(self, name: str, field: str) -> tuple[str, ...]:
        """Everything `name` may mean, at least one. Raises `InvalidRequest` with suggestions where it means nothing."""
        key = self._key(name, field)
        shared = self._shared.get(key, ())
        own = self._own.get(key)
        if own is not None:
            return shared if own in shared else (own, *shared)
        if not shared:
            self._unknown(name, key, field)
        return shared

    def one(self, name: str, field: str) -> str:
        """The one thing `name` means. Raises `InvalidRequest` where it means nothing, or several things."""
        key = self._key(name, field)
        own = self._own.get(key)
        if own is not None:
            return own
        shared = self._shared.get(key, ())
        if len(shared) > 1:
            choice = ", ".join(shared[:8]) + (", …" if len(shared) > 8 else "")
            message = f"{_shown(name)} names {len(shared)} {self._what}s; say which one: {choice}"
            raise InvalidRequest(message, field=field, allowed=choice)
        if not shared:
            self._unknown(name, key, field)
        return shared[0]

    def _key(self, name: str, field: str) -> str:
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
            allowed = f"a name of 1 to {MAX_NAME} characters"
            raise InvalidRequest(f"a name of the catalogue is {allowed}", field=field, allowed=allowed)
        return normal(name)

    def _unknown(self, name: str, key: str, field: str) -> NoReturn:
        near = ", ".join(self.suggest(key)) or "none"
        raise InvalidRequest(
            f"{_shown(name)} is no {self._what} of the catalogue; the nearest names: {near}", field=field, allowed=near
        )

    def suggest(self, name: str) -> tuple[str, ...]:
        """Identifiers of the nearest names, best first, at most six."""
        wanted = normal(name)
        found: dict[str, None] = {}
        # Typing errors first; only where there are few of those, names that contain the text or are contained in it.
        for scorer, cutoff in ((fuzz.ratio, 65), (fuzz.WRatio, 60)):
            near = process.extract(wanted, list(self._spelled), scorer=scorer, limit=24, score_cutoff=cutoff)
            for key, _score, _at in sorted(near, key=lambda hit: (-hit[1], hit[0])):
                own = self._own.get(key)
                found.update(dict.fromkeys((own,) if own is not None else self._shared[key]))
            if len(found) >= _SUGGESTIONS // 2:
                break
        return tuple(found)[:_SUGGESTIONS]


def _shown(name: str) -> str:
    """The name as a message may repeat it: short, quoted, without control characters."""
    return repr(name if len(name) <= 60 else name[:59] + "…")
