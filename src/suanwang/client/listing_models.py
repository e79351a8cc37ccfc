"""What the API says and takes about algorithms, models and data sets for sale, as pydantic models.

Owns these answers' field names. Prices are whole fen.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from suanwang.client.market_models import Id
from suanwang.client.models import Answer, Asked, Page
from suanwang.trading.ledger import MOST_FEN
from suanwang.trading.listings import MOST_INVITED, MOST_LICENCE, MOST_TITLE, MOST_WORDS, Charge, Kind, UseState

Version = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Title = Annotated[str, Field(min_length=1, max_length=MOST_TITLE)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class NewListing(Asked):
    """A version for sale: a file of `project` by its hash, or a data set that stays at `site`. The same again changes
    nothing; another under the same `id` and `version` is refused."""

    id: Id
    version: Version
    title_en: Title
    title_zh: Title
    description: str = Field(default="", max_length=MOST_WORDS)
    kind: Kind = Field(strict=False)
    licence: str = Field(min_length=1, max_length=MOST_LICENCE, description="An SPDX expression, or the name of terms")
    project: Name | None = None
    sha256: Sha256 | None = None
    site: Name | None = None
    dataset: Name | None = None
    charge: Charge = Field(strict=False)
    price_fen: int = Field(ge=0, le=MOST_FEN, description="What a buyer pays, commission included")
    invited: list[Name] | None = Field(
        default=None, min_length=1, max_length=MOST_INVITED, description="Projects that may see it; all where left out"
    )


class Withdrawal(Asked):
    """Which version is taken off sale; all of them where none is named."""

    version: Version | None = None


class NewCopy(Asked):
    """A copy to buy. `id` is the buyer's own: the same again changes nothing. Another price than `price_fen` is refused."""

    id: Id
    project: str | None = Field(default=None, max_length=63, description="Who pays; by default your first project")
    version: Version | None = Field(default=None, description="The newest on sale where left out")
    price_fen: int = Field(ge=0, le=MOST_FEN, description="What you were shown")


class ListingView(Answer):
    id: str
    version: str
    source: str
    """How a task's input names it."""
    seller: str
    title_en: str
    title_zh: str
    description: str
    kind: Kind
    licence: str
    sha256: str | None
    size: int | None
    folder: bool
    dataset: str | None
    site: str | None
    charge: Charge
    price_fen: int
    invited: list[str] | None
    """Shown to its seller and to those who watch."""
    listed_at: datetime
    withdrawn_at: datetime | None


class ListingPage(Page):
    items: list[ListingView]


class Withdrawn(Answer):
    versions: int
    """How many were on sale."""


class CopyView(Answer):
    """A copy that a project bought: its file `name`."""

    id: str
    listing: str
    version: str
    project: str
    name: str
    seller: str
    price_fen: int
    sha256: str
    buyer: str
    at: datetime


class CopyPage(Page):
    items: list[CopyView]


class ListingUse(Answer):
    """A job's lease that reads a listing."""

    listing: str
    version: str
    sha256: str | None
    job: str
    project: str
    owner: str
    site: str
    seller: str
    price_fen: int
    state: UseState
    at: datetime


class ListingUsePage(Page):
    items: list[ListingUse]
