"""Numbers, money, instants and durations in the reader's language.

Owns how a figure is written on a page, unit included. Knows no use case.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal

from babel import Locale
from babel.dates import format_datetime
from babel.numbers import format_decimal, format_percent

BEIJING: tzinfo = timezone(timedelta(hours=8), "UTC+8")
"""China's one time zone, without summer time; needs no time zone database."""

_BYTES = ("B", "kB", "MB", "GB", "TB")
_CLOSED_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


class Formats:
    """The formats of one language in one time zone. `translate` is the catalogue's `gettext`."""

    def __init__(self, language: str, zone: tzinfo, translate: Callable[[str], str]) -> None:
        self.language = language
        self.zone = zone
        self._locale = Locale.parse("zh_Hans_CN" if language == "zh" else "en_US")
        self._pattern = "M月d日 HH:mm:ss" if language == "zh" else "MMM d, HH:mm:ss"
        self._translate = translate

    def number(self, value: float, digits: int = 0) -> str:
        """With grouping and at most `digits` decimals."""
        return str(format_decimal(round(value, digits), format="#,##0." + "#" * digits, locale=self._locale))

    def significant(self, value: float) -> str:
        """Three significant digits: for measured and modelled figures."""
        if not value or not math.isfinite(value):
            return "0" if not value else "–"
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        return self.number(value, min(digits, 8))

    def percent(self, share: float) -> str:
        return str(format_percent(share, format="#,##0%", locale=self._locale))

    def share(self, share: float) -> str:
        """A part of a whole, to a tenth of a percent, and finer where it is small."""
        pattern = "#,##0.#%" if share >= 0.01 or not share else "#,##0.###%"
        return str(format_percent(share, format=pattern, locale=self._locale, decimal_quantization=True))

    def fen(self, amount: int) -> str:
        """Billed money, exact to the fen."""
        sign = "-" if amount < 0 else ""
        return f"{sign}¥" + str(format_decimal(Decimal(abs(amount)) / 100, format="#,##0.00", locale=self._locale))

    def yuan(self, amount: float | Decimal) -> str:
        """An estimated or posted price: two decimals, four where it is small."""
        exact = Decimal(str(amount))
        pattern = "#,##0.00" if not exact or abs(exact) >= Decimal("0.1") else "#,##0.00##"
        return "¥" + str(format_decimal(exact, format=pattern, locale=self._locale))

    def exact(self, amount: Decimal) -> str:
        """A rated amount with all its digits."""
        return "¥" + str(format_decimal(amount, format="#,##0.00######", locale=self._locale))

    def energy(self, kwh: float) -> str:
        return f"{self.significant(kwh)} kWh" if kwh >= 0.1 or not kwh else f"{self.significant(kwh * 1000)} Wh"

    def carbon(self, grams: float) -> str:
        return f"{self.significant(grams / 1000)} kgCO₂" if grams >= 10_000 else f"{self.significant(grams)} gCO₂"

    def size(self, count: int) -> str:
        """Bytes in decimal units."""
        value, unit = float(count), 0
        while value >= 1000 and unit < len(_BYTES) - 1:
            value, unit = value / 1000, unit + 1
        return f"{self.significant(value)} {_BYTES[unit]}"

    def duration(self, seconds: float) -> str:
        """Its two largest units, such as `3 min 20 s`."""
        left = max(0, round(seconds))
        parts: list[str] = []
        for length, unit in _CLOSED_UNITS:
            if left >= length or parts:
                parts.append(f"{left // length} {self._translate(unit)}")
                left %= length
        parts.append(f"{left} {self._translate('s')}")
        shown = [part for part in parts if not part.startswith("0 ")] or parts[-1:]
        return " ".join(shown[:2])

    def instant(self, at: datetime) -> str:
        """Day and time to the second."""
        return str(format_datetime(at.astimezone(UTC), self._pattern, tzinfo=self.zone, locale=self._locale))

    def day_start(self, now: datetime) -> datetime:
        """Midnight of the day of `now`."""
        return now.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
