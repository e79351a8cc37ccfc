"""Whose a site is: co-owners and their shares.

Owns how shares are written and checked. A share is a fraction, never a float, so that the shares of a site sum to exactly
one and its weights in a split are whole numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import lcm

from suanwang.domain.errors import InvalidRequest

MOST_OWNERS = 20
MOST_PARTS = 1_000_000
"""The finest division: the least common denominator of a site's shares."""
_SHARE = re.compile(r"([0-9]{1,7})(?:/([0-9]{1,7})|\.([0-9]{1,6}))?(%?)")
_ALLOWED = "fractions that sum to exactly 1, such as 2/3, 0.25 or 12.5%"


def checked_owners(shares: Mapping[str, str], field: str = "owners") -> dict[str, str]:
    """Owner → share in lowest terms; empty where nobody shares. Raises `InvalidRequest` naming the field."""
    if not shares:
        return {}
    if len(shares) > MOST_OWNERS:
        raise InvalidRequest(f"{len(shares)} owners are too many", field=field, allowed=f"up to {MOST_OWNERS}")
    read: dict[str, Fraction] = {}
    for name, text in shares.items():
        if name != name.strip() or not 0 < len(name) <= 100 or not name.isprintable():
            raise InvalidRequest("an owner is named in one line", field=field, allowed="1 to 100 characters")
        read[name] = _fraction(text, f"{field}.{name}")
    total = sum(read.values())
    if total != 1:
        raise InvalidRequest(f"the shares sum to {total}, not to 1", field=field, allowed=_ALLOWED)
    if lcm(*(share.denominator for share in read.values())) > MOST_PARTS:
        raise InvalidRequest("the shares are too fine", field=field, allowed=f"a common denominator up to {MOST_PARTS}")
    return {name: str(share) for name, share in read.items()}


def weights(shares: Mapping[str, str]) -> dict[str, int]:
    """Owner → whole weight, of checked shares."""
    read = {name: Fraction(text) for name, text in shares.items()}
    parts = lcm(*(share.denominator for share in read.values()))
    return {name: int(share * parts) for name, share in read.items()}


def _fraction(text: str, field: str) -> Fraction:
    found = _SHARE.fullmatch(text.strip())
    if found is None or (found[2] and not int(found[2])):
        raise InvalidRequest(f"{text[:40]!r} is no share", field=field, allowed=_ALLOWED)
    whole, below, decimals, percent = found.groups()
    share = Fraction(int(whole), int(below)) if below else Fraction(f"{whole}.{decimals or 0}")
    share = share / 100 if percent else share
    if not 0 < share <= 1:
        raise InvalidRequest(f"{text[:40]!r} is no share", field=field, allowed=_ALLOWED)
    return share
