"""A text with holes, and what fills them in one that was said.

Owns how templates are written (`there is no site {name}`) and matched, in time that grows with the text's length only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from string import Formatter


@dataclass(frozen=True, slots=True)
class Hole:
    """What is different each time. `parameter_of`: the function, as (module, name), whose parameter fills it."""

    name: str
    parameter_of: tuple[str, str] | None = None


Piece = str | Hole


@dataclass(frozen=True)
class Template:
    """Literal text and holes by turns: never two literals, nor two holes, side by side."""

    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, literal: str) -> Template:
        return cls((literal,) if literal else ())

    @classmethod
    def parsed(cls, written: str) -> Template:
        """A template as a catalogue writes it."""
        pieces: list[Piece] = []
        for literal, name, _spec, _conversion in Formatter().parse(written):
            pieces += [literal] if literal else []
            pieces += [Hole(name)] if name is not None else []
        return cls.joined([cls(tuple(pieces))])

    @classmethod
    def joined(cls, parts: Iterable[Template]) -> Template:
        """The parts as one, names told apart."""
        pieces: list[Piece] = []
        for piece in (each for part in parts for each in part.pieces):
            match piece, pieces[-1:]:
                case str(), [str() as before]:
                    pieces[-1] = before + piece
                case Hole(), [Hole()]:
                    pass
                case _:
                    pieces.append(piece)
        return cls(tuple(pieces))

    @property
    def closed(self) -> Template:
        """The same, with no hole known to be a parameter."""
        return Template(tuple(Hole(each.name) if isinstance(each, Hole) else each for each in self.pieces))

    @cached_property
    def shape(self) -> tuple[str, ...]:
        """The literals in order, "" where it begins or ends with a hole: what makes two templates the same."""
        literals = [piece for piece in self.pieces if isinstance(piece, str)]
        first = [""] if self.pieces and isinstance(self.pieces[0], Hole) else []
        last = [""] if self.pieces and isinstance(self.pieces[-1], Hole) else []
        return (*first, *literals, *last)

    @cached_property
    def literals(self) -> str:
        return "".join(self.shape)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What fills the holes, in order and each with a name of its own."""
        names: list[str] = []
        for hole in (each for each in self.pieces if isinstance(each, Hole)):
            name, number = hole.name, 2
            while name in names:
                name, number = f"{hole.name}{number}", number + 1
            names.append(name)
        return tuple(names)

    @property
    def written(self) -> str:
        """As a catalogue writes it."""
        names = iter(self.names)
        return "".join(
            "{" + next(names) + "}" if isinstance(each, Hole) else each.replace("{", "{{").replace("}", "}}")
            for each in self.pieces
        )

    def match(self, text: str) -> dict[str, str] | None:
        """What fills the holes where `text` was said by this, else None. Each hole takes as little as it can."""
        first, *rest = self.shape or ("",)
        if not text.startswith(first):
            return None
        if not rest:
            return {} if text == first else None
        at, filled = len(first), []
        for literal in rest[:-1]:
            found = text.find(literal, at)
            if found < 0:
                return None
            filled.append(text[at:found])
            at = found + len(literal)
        end = len(text) - len(rest[-1])
        if end < at or not text.endswith(rest[-1]):
            return None
        return dict(zip(self.names, [*filled, text[at:end]], strict=True))

    @cached_property
    def letters(self) -> int:
        """How much of it is language."""
        return sum(each.isalpha() for each in self.literals)

    @property
    def is_literal(self) -> bool:
        return not any(isinstance(each, Hole) for each in self.pieces)

    @property
    def is_sentence(self) -> bool:
        """Whether it is more than one word."""
        return self.says_something and " " in self.literals.strip()

    @property
    def says_something(self) -> bool:
        """Whether there is a word in it."""
        return self.letters > 1
