"""Which network the command line talks to, and as whom.

Owns `~/.config/suanwang/config.toml` (mode 600). SUANWANG_URL and SUANWANG_TOKEN, read by the command line's own
options, come before it.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from suanwang.domain.errors import InvalidRequest, Unauthorized


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """An address and the token for it."""

    url: str
    token: str


def config_path() -> Path:
    """The file, by the XDG convention."""
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "suanwang" / "config.toml"


def stored() -> Login | None:
    """What `suanwang login` kept, None where there is nothing. Raises `InvalidRequest` for a file nobody can read."""
    path = config_path()
    try:
        row = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}; log in again", field=str(path)) from error
    url, token = row.get("url"), row.get("token")
    return Login(url=url, token=token) if isinstance(url, str) and isinstance(token, str) else None


def store(login: Login) -> Path:
    """Keep `login` for the next commands, readable by its owner alone."""
    path = config_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    text = f"url = {json.dumps(login.url)}\ntoken = {json.dumps(login.token)}\n"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
    return path


def forget() -> bool:
    """Remove what was kept; False where there was nothing."""
    try:
        config_path().unlink()
    except FileNotFoundError:
        return False
    return True


def find(url: str | None, token: str | None) -> Login:
    """The login to use. A token that was kept is never sent to another address than its own.

    Raises `Unauthorized` where none is known.
    """
    kept = stored()
    if url is None and kept is not None:
        url = kept.url
    if token is None and kept is not None and kept.url == url:
        token = kept.token
    if url is None or token is None:
        what = "address" if url is None else f"token for {url}"
        raise Unauthorized(f"no {what} is known: you are not logged in to a network")
    return Login(url=url.rstrip("/"), token=token)
