"""Templates to responses: one Jinja environment per language, escaping always on, and the headers every page carries.

Owns the page's headers and what templates may call. Knows no use case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from suanwang import translation
from suanwang.domain import reasons
from suanwang.web import labels
from suanwang.web.formatting import Formats
from suanwang.web.terminal import plain
from suanwang.web.wording import LANGUAGES, translations

HERE = Path(__file__).parent
STATIC = HERE / "static"
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Cookie, Accept-Language, HX-Request",
}


class Rendering:
    """The templates in every language."""

    def __init__(self, zone: tzinfo) -> None:
        self._formats: dict[str, Formats] = {}
        self._environments: dict[str, Environment] = {}
        for language in LANGUAGES:
            words = translations(language)
            self._formats[language] = Formats(language, zone, words.gettext)
            self._environments[language] = _environment(language, self._formats[language])

    def formats(self, language: str) -> Formats:
        return self._formats[language]

    def html(self, language: str, template: str, context: Mapping[str, Any]) -> str:
        return self._environments[language].get_template(template).render(**context)

    def page(self, language: str, template: str, context: Mapping[str, Any], status: int = 200) -> Response:
        """A page or fragment with the headers of all pages."""
        return HTMLResponse(self.html(language, template, context), status, headers=dict(HEADERS))


def _environment(language: str, formats: Formats) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    words = translations(language)
    environment.install_gettext_callables(words.gettext, words.ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.policies["ext.i18n.trimmed"] = True
    environment.globals.update(
        static=static_url,
        job_states=labels.JOB_STATES,
        site_states=labels.SITE_STATES,
        sources=labels.SOURCES,
        verdicts=labels.VERDICTS,
        priorities=labels.PRIORITIES,
        tiers=labels.TIERS,
        discount_kinds=labels.DISCOUNTS,
    )
    environment.filters.update(
        number=formats.number,
        significant=formats.significant,
        percent=formats.percent,
        share=formats.share,
        moment=formats.instant,
        fen=formats.fen,
        yuan=formats.yuan,
        exact=formats.exact,
        energy=formats.energy,
        carbon=formats.carbon,
        size=formats.size,
        duration=formats.duration,
        when=_when(formats),
        plain=plain,
        used=lambda text: labels.used(text, words.gettext),
        sentence=translation.reason_in_chinese if language == "zh" else reasons.sentence,
        said=translation.chinese if language == "zh" else str,
    )
    return environment


def _when(formats: Formats) -> Callable[[datetime], Markup]:
    def when(at: datetime) -> Markup:
        return Markup('<time datetime="{}">{}</time>').format(at.isoformat(timespec="seconds"), formats.instant(at))

    return when


@cache
def static_url(path: str) -> str:
    """The address of a static file; it changes with the content, so browsers may keep what they have."""
    digest = hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:12]
    return f"/static/{path}?v={digest}"
