"""What people type into the fields of a form, as values; each fault names its field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal

from suanwang.domain.errors import InvalidRequest


def amount_of(form: Mapping[str, str], field: str, default: Decimal | None = None) -> Decimal:
    """A number with a point; `default` for an empty field. Raises `InvalidRequest`."""
    text = form.get(field, "").strip()
    if not text and default is not None:
        return default
    try:
        amount = Decimal(text) if len(text) <= 40 else Decimal("nan")
    except ArithmeticError:
        amount = Decimal("nan")
    if not amount.is_finite():
        raise InvalidRequest("a number is needed here", field=field, allowed="such as 12.50")
    return amount


def count_of(form: Mapping[str, str], field: str) -> int:
    """A whole number that is not negative. Raises `InvalidRequest`."""
    text = form.get(field, "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 11):
        raise InvalidRequest("a whole number is needed here", field=field, allowed="0 and more")
    return int(text)


def instant_of(form: Mapping[str, str], field: str, zone: tzinfo) -> datetime | None:
    """A day and time of `zone`; None for an empty field. Raises `InvalidRequest`."""
    text = form.get(field, "").strip()
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        if not 2000 <= at.year < 2200:
            raise ValueError
    except ValueError:
        raise InvalidRequest("this is no instant", field=field, allowed="such as 2026-03-01T08:00") from None
    return at.replace(tzinfo=zone) if at.tzinfo is None else at


def typed_instant(at: datetime | None, zone: tzinfo) -> str:
    """As the field of a form holds it."""
    return "" if at is None else at.astimezone(zone).replace(tzinfo=None).isoformat(timespec="auto").removesuffix(":00")


def words_of(form: Mapping[str, str], field: str) -> tuple[str, ...]:
    """Names with commas between, Chinese ones too."""
    parts = form.get(field, "").replace("，", ",").replace("、", ",").split(",")
    return tuple(part.strip() for part in parts if part.strip())


def rows_of(form: Mapping[str, str], group: str, fields: Sequence[str], typed: Sequence[str]) -> list[dict[str, str]]:
    """The rows `group.0.field`, `group.1.field` … of which anything of `typed` is filled in and `drop` is not ticked."""
    numbers = sorted(
        {int(part[1]) for name in form if (part := name.split("."))[0] == group and part[1:2] and part[1].isdecimal()}
    )
    rows = ({field: form.get(f"{group}.{number}.{field}", "") for field in (*fields, "drop")} for number in numbers)
    return [row for row in rows if not row["drop"] and any(row[field].strip() for field in typed)]
