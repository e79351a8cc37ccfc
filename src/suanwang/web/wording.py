"""The catalogues: which words the pages use, and what they are in Chinese.

Owns extraction, update and compilation: `python -m suanwang.web` brings the Chinese catalogue and its compiled form up to
date with the templates. English is what the pages are written in, so it has no catalogue.
"""

from __future__ import annotations

import gettext
import io
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from suanwang.translation.catalogue import fresh

LANGUAGES = ("zh", "en")
HERE = Path(__file__).parent
PO = HERE / "locale" / "zh" / "LC_MESSAGES" / "suanwang.po"
MO = PO.with_suffix(".mo")
_METHODS = [("templates/**.html", "jinja2.ext:babel_extract"), ("**.py", "python")]
_OPTIONS = {"templates/**.html": {"trimmed": "true", "silent": "false"}}
_KEYWORDS: dict[str, tuple[int, ...] | None] = {
    "_": None,
    "N_": None,
    "gettext": None,
    "ngettext": (1, 2),
}


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The words of `language`; English ones are the messages themselves."""
    if language != "zh":
        return gettext.NullTranslations()
    with MO.open("rb") as file:
        return gettext.GNUTranslations(file)


def used() -> Catalog:
    """Every message that the pages use now, untranslated."""
    catalogue = fresh("# The words of the pages in Chinese. `python -m suanwang.web` keeps them up to date.")
    found = extract_from_dir(HERE, _METHODS, _OPTIONS, keywords=_KEYWORDS, comment_tags=())
    for _filename, _line, message, _comments, _context in found:
        catalogue.add(message)
    return catalogue


def stored() -> Catalog:
    """The Chinese catalogue as it is kept."""
    with PO.open("rb") as file:
        return read_po(file, locale="zh")


def compiled(catalogue: Catalog) -> bytes:
    """The compiled form of a catalogue; the same catalogue gives the same bytes."""
    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def refresh() -> list[str]:
    """Bring the stored catalogue up to date; returns the messages that still need a translation."""
    known, catalogue = stored(), used()
    for message in catalogue:
        old = known.get(message.id) if message.id else None
        if old is not None:
            message.string = old.string
    out = io.BytesIO()
    write_po(out, catalogue, sort_output=True, no_location=True, width=110)
    PO.write_bytes(out.getvalue())
    MO.write_bytes(compiled(stored()))
    translations.cache_clear()
    return missing(catalogue)


def missing(catalogue: Catalog) -> list[str]:
    """Messages without a translation."""
    found: list[str] = []
    for message in catalogue:
        words = message.string if isinstance(message.string, tuple | list) else (message.string,)
        if message.id and not all(words):
            found.append(message.id if isinstance(message.id, str) else message.id[0])
    return found
