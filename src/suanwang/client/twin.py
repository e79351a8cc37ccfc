"""The client's calls about the twin's experiments.

Owns how each of them is asked for; `Line` how one asks.
"""

from __future__ import annotations

from urllib.parse import quote

from suanwang.client import twin_models
from suanwang.client.line import Line

_PATH = "/v1/twin/experiments"


class TwinCalls(Line):
    """Experiments of the control plane."""

    def experiments(self) -> twin_models.ExperimentList:
        """Newest first."""
        return self._get(_PATH, twin_models.ExperimentList)

    def experiment(self, experiment_id: str) -> twin_models.ExperimentView:
        return self._get(_path(experiment_id), twin_models.ExperimentView)

    def start_experiment(
        self,
        *,
        text: str | None = None,
        example: str | None = None,
        what_if: twin_models.WhatIf | None = None,
        title: str = "",
    ) -> twin_models.ExperimentView:
        """Start one: an experiment file's text, a shipped example, or a change of the live network's present state."""
        asked = twin_models.NewExperiment(title=title, text=text, example=example, what_if=what_if)
        reply = self._wire.call("POST", _PATH, json=asked.model_dump(mode="json", exclude_none=True))
        return twin_models.ExperimentView.model_validate_json(reply.content)

    def experiment_report(self, experiment_id: str) -> str:
        """The report, one HTML file."""
        return self._wire.call("GET", f"{_path(experiment_id)}/report").text

    def delete_experiment(self, experiment_id: str) -> None:
        """Stop it where it plays, and remove it with all it wrote."""
        self._wire.call("DELETE", _path(experiment_id), harmless=True)


def _path(experiment_id: str) -> str:
    return f"{_PATH}/{quote(experiment_id, safe='')}"
