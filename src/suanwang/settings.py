"""The only reader of the environment. Every setting is `SUANWANG_…`; the command line overrides it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What a control plane is told."""

    model_config = SettingsConfigDict(env_prefix="SUANWANG_", extra="ignore")

    home: Path = Field(Path(".suanwang"), description="Folder of the embedded network: database, files, credentials.")
    database_url: str | None = Field(None, description="A PostgreSQL server; without it one is embedded under `home`.")
    files_url: str | None = Field(None, description="Where files go, as fsspec writes it: `s3://bucket/prefix`.")
    host: str = "127.0.0.1"
    port: int = Field(8340, ge=0, le=65535)
    operator_token: SecretStr | None = Field(
        None, description="The first operator's token; else one is made in `home`."
    )
    notify_url: str | None = Field(None, description="Gets a POST for each ended job.")
    lease_ttl_s: float = Field(120.0, ge=2, le=86400)
    fence_margin_s: float = Field(20.0, ge=1, le=3600)
    suspect_after_s: float = Field(20.0, ge=1, le=3600)
    poll_s: float = Field(2.0, ge=0.1, le=300)
    meter_every_s: float = Field(60.0, ge=1, le=3600)
    commission_bp: int = Field(200, ge=0, le=10_000, description="The network's part of each bill, basis points.")
    project_credit_yuan: int = Field(
        1_000_000, ge=0, le=10**12, description="How far a project may owe until an operator says otherwise."
    )
    dispute_days: int = Field(30, ge=0, le=3650, description="How long a bill line may be disputed after its end.")
    turn_every_s: float = Field(0.5, ge=0.05, le=60, description="Pause between turns of the control loop.")
