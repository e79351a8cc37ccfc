"""What was said, matched to the template that said it, and said in Chinese.

Owns which template fits a text, and how what fills its holes is put into words. Each template stands under the rarest of its
words, so a text is tried with few of them, each in one pass over the text.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from suanwang.translation.template import Hole, Template

LONGEST = 20_000
"""Characters of a text that is looked at; our own are shorter."""
_DEEPEST = 4
_WORDS = frozenset(
    {"state", "role", "verdict", "outcome", "move", "ending", "needs", "scope", "side", "what", "near", "kind"}
)
"""Holes that are filled with words of a language, not with names."""
_FOREIGN = frozenset({"error", "err", "strerror", "stderr"})
"""Holes that quote what others said, in their words."""
_LOOSE = 12
"""Letters below which a template also fits what it did not say: only names and figures may fill its holes then."""
_PART = 4
"""Letters below which a template is not looked for in a part of a text."""

_FIGURE = re.compile("[0-9A-Z]")


@dataclass(frozen=True, slots=True)
class _Entry:
    template: Template
    words: Template


@dataclass(frozen=True, slots=True)
class _Said:
    """A text in Chinese. `known`: how many of its characters were ours."""

    words: str
    known: int
    within: int = 0
    """How many texts were found within it."""
    joins: bool = False
    """Whether it begins with what fills a hole."""

    @property
    def rank(self) -> tuple[int, int, bool, str]:
        """What explains more of a text, with less, comes later; what is said of a sentence stands around it."""
        return self.known, -self.within, self.joins, self.words


class Matcher:
    """Texts in Chinese, by `messages`: templates as a catalogue writes them → their Chinese."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        entries = [_Entry(Template.parsed(each), Template.parsed(words)) for each, words in messages.items() if words]
        self._exact = {each.template.literals: each.words.literals for each in entries if each.template.is_literal}
        entries = [each for each in entries if not each.template.is_literal]
        often = Counter(word for each in entries for word in set(_whole_words(each.template)))
        self._by_word: dict[str, list[_Entry]] = defaultdict(list)
        for each in entries:
            words = _whole_words(each.template)
            self._by_word[min(words, key=lambda word: (often[word], -len(word), word), default="")].append(each)

    def chinese(self, text: str) -> str | None:
        """`text` in Chinese, None where no template says it."""
        said = self._said(text, 0) if len(text) <= LONGEST else None
        return None if said is None else said.words

    def _said(self, text: str, depth: int) -> _Said | None:
        exact = self._exact.get(text)
        if exact is not None:
            return _Said(exact, len(text))
        if depth >= _DEEPEST:
            return None
        found = [
            self._filled(each, text, depth) for word in {*text.split(), ""} for each in self._by_word.get(word, ())
        ]
        best = max((each for each in found if each), key=lambda each: each.rank, default=None)
        return best or self._composed(text, depth)

    def _filled(self, entry: _Entry, text: str, depth: int) -> _Said | None:
        if depth and entry.template.letters < _PART:
            return None
        holes = entry.template.match(text)
        if holes is None:
            return None
        known, within = len(entry.template.literals), 0
        filled: dict[str, str] = {}
        ours: set[str] = set()
        for name, value in holes.items():
            said = self._part(name, value, depth)
            loose = entry.template.letters < _LOOSE and name not in _FOREIGN
            if said is None and loose and not _is_name(value):
                return None
            filled[name] = value if said is None else said.words
            if said is not None:
                ours.add(name)
                known, within = known + said.known, within + said.within + 1
        words = _joined(
            (filled[each.name], each.name in ours) if isinstance(each, Hole) else (each, True)
            for each in entry.words.pieces
        )
        return _Said(words, known, within, joins=entry.template.shape[0] == "")

    def _part(self, name: str, value: str, depth: int) -> _Said | None:
        """What fills a hole, where it is a word or a sentence of ours."""
        if name.rstrip("0123456789") in _WORDS and value in self._exact:
            return _Said(self._exact[value], len(value))
        return self._said(value, depth + 1) if " " in value.strip() and not _is_quoted(value) else None

    def _composed(self, text: str, depth: int) -> _Said | None:
        """Texts put together by marks alone: `a; b`, `name: a`, `a/file a`, `a.`, `a or b`."""
        several = text.split("; ")
        if len(several) > 1:
            return self._all(several, "；", depth)
        name, _, rest = text.partition(": ")
        if rest and " " not in name:
            said = self._said(rest, depth + 1)
            return said and replace(said, words=f"{name}：{said.words}", within=said.within + 1)
        name, _, rest = text.partition(" ")
        if rest and ("/" in name or "." in name):
            said = self._said(rest, depth + 1)
            return said and replace(said, words=f"{name} {said.words}", within=said.within + 1)
        if text.endswith("."):
            said = self._said(text[:-1], depth + 1)
            return said and replace(said, words=f"{said.words}。", within=said.within + 1)
        either = re.split(" or |, ", text)
        if " or " in text and all(map(_is_name, either)):
            known = self._all(either, "、", depth) if all(each in self._exact for each in either) else None
            return known or _Said(text.replace(" or ", " 或 ").replace(", ", "、"), len(text) - sum(map(len, either)))
        return None

    def _all(self, parts: list[str], between: str, depth: int) -> _Said | None:
        """All of the parts, or none."""
        said = [each for each in (self._said(part, depth + 1) for part in parts) if each]
        if len(said) < len(parts):
            return None
        known, within = sum(each.known for each in said), sum(each.within + 1 for each in said)
        return _Said(between.join(each.words for each in said), known, within)


def _joined(pieces: Iterable[tuple[str, bool]]) -> str:
    """Pieces as one text: no space between Chinese of ours, one between Chinese and a word or figure of another script.

    Of each piece: its text, and whether it is ours.
    """
    text, ours = "", True
    for piece, owned in pieces:
        if text.rstrip(" ") and piece.lstrip(" "):
            before, after = text.rstrip(" ")[-1], piece.lstrip(" ")[0]
            if ours and owned and _is_chinese(before) and _is_chinese(after):
                text, piece = text.rstrip(" "), piece.lstrip(" ")
            elif (
                text[-1] != " "
                and piece[0] != " "
                and _is_chinese(before) != _is_chinese(after)
                and (before + after).isalnum()
            ):
                text += " "
        text, ours = text + piece, owned
    return text


def _is_chinese(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" and value[0] not in value[1:-1]


def _is_name(value: str) -> bool:
    """Whether it looks like a name, a figure, an instant, or a list of such."""
    words = [each.split(" ") for each in value.split(", ")]
    return _is_quoted(value) or all(len(each) == 1 or all(map(_FIGURE.search, each)) for each in words)


def _whole_words(template: Template) -> Iterator[str]:
    """The words that every text said by `template` has between spaces or at its ends."""
    *_, last = enumerate(template.shape)
    for place, literal in enumerate(template.shape):
        words = literal.split()
        if words and place > 0 and not literal[0].isspace():
            words = words[1:]
        if words and place < last[0] and not literal[-1].isspace():
            words = words[:-1]
        yield from words
