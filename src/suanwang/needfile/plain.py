"""Text of a need file to plain values. Owns what of YAML is let in: one mapping, no aliases, no keys given twice."""

from __future__ import annotations

from typing import Any

import yaml

from suanwang.domain.errors import InvalidRequest, TooLarge

MOST_BYTES = 256 * 1024


def plain_values(text: str | bytes, *, filename: str) -> object:
    """The value of the one document in `text`, YAML or JSON.

    Raises `InvalidRequest` with the line where it is not readable, and `TooLarge` above 256 KiB.
    """
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        message = f"{filename} has {size} bytes; a need file is small"
        raise TooLarge(message, field="file", allowed=f"at most {MOST_BYTES} bytes")
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return yaml.load(decoded, Loader=_Loader)  # noqa: S506 - a SafeLoader with less allowed
    except UnicodeDecodeError as error:
        raise _unreadable(filename, f"byte {error.start} is not UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f"line {mark.line + 1}: "
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is no YAML"
        raise _unreadable(filename, f"{where}{problem}") from error
    except (RecursionError, ValueError) as error:
        raise _unreadable(filename, "it is nested too deeply or holds a value that is none") from error


class _Loader(yaml.SafeLoader):
    """Refuses aliases, which let a small file grow, and keys that are given twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _unreadable(filename: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{filename} is not readable: {why}", field="file", allowed="one YAML or JSON mapping")
