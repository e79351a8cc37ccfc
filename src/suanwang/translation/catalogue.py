"""The kept Chinese of what the network can say.

Owns the catalogue's file, how it is brought up to date with the sources, and what is wrong with it. A message is known by
its literal text: renaming what fills its holes changes nothing.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from suanwang.translation.template import Template

if TYPE_CHECKING:
    from suanwang.translation.extraction import Found

HERE = Path(__file__).parent
PO = HERE / "locale" / "zh" / "LC_MESSAGES" / "errors.po"
_UNDATED = datetime(2026, 1, 1, tzinfo=UTC)
"""The history of the words is the repository's."""


def stored() -> dict[str, str]:
    """Each message as the catalogue writes it → its Chinese, "" where it has none yet."""
    with PO.open("rb") as file:
        return {str(each.id): str(each.string) for each in read_po(file, locale="zh") if each.id}


def fresh(comment: str) -> Catalog:
    """An empty Chinese catalogue with `comment` at its head; the same words give the same bytes."""
    return Catalog(
        locale="zh",
        project="suanwang",
        version="1",
        header_comment=comment,
        msgid_bugs_address="suanwang",
        last_translator="suanwang",
        language_team="zh",
        creation_date=_UNDATED,
        revision_date=_UNDATED,
        fuzzy=False,
    )


def refresh(found: list[Found]) -> list[str]:
    """Bring the stored catalogue up to date with what the sources say; returns the messages that need a translation."""
    known = {Template.parsed(message).shape: (message, words) for message, words in stored().items()}
    catalogue = fresh("# Errors, reasons and notes in Chinese. `python -m suanwang.translation` keeps them up to date.")
    for each in found:
        message, words = known.get(each.template.shape, (each.template.written, ""))
        # Holes are in braces: a percent sign is one.
        catalogue.add(message, words, locations=[(each.place.partition(":")[0], 1)]).flags.discard("python-format")
    out = io.BytesIO()
    write_po(out, catalogue, sort_output=True, include_lineno=False, width=110)
    PO.write_bytes(out.getvalue())
    return [message for message, words in stored().items() if not words]


def faults(messages: dict[str, str]) -> list[str]:
    """Messages whose Chinese fills other holes than their own."""
    return [message for message, words in messages.items() if words and _holes(words) - _holes(message)]


def _holes(written: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(written) if name is not None}
