"""The way to a cluster by slurmrestd, with a JSON web token.

Owns the HTTP: which version is spoken, which path answers which question, and what a failed request means for a
submission. Values are read and made in `rest_values`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from suanwang.domain.connector import RunOrder
from suanwang.domain.errors import InvalidRequest, OutcomeUnknown, Unavailable, UnreadableReply
from suanwang.sensing.connectors.slurm import rest_values
from suanwang.sensing.connectors.slurm.facts import JobFacts, NodeFacts
from suanwang.sensing.connectors.slurm.parsing import submission_error

_FEW = 20
"""Up to so many jobs are asked for one by one; more are picked out of the whole list."""
_ONE_EACH = httpx.Limits(max_keepalive_connections=0)
"""A connection per request: requests are seconds apart, and nobody has to close a connector."""
_NO_SUCH_JOB = "Invalid job id"


class RestGateway:
    """Asks a cluster's slurmrestd.

    `url` is `http://host:port`, or `unix:/path/to/socket`. `token` is called before each request, since tokens expire.
    `user` is the account the token belongs to; a run with a `posix_user` is sent under that name, which Slurm allows to
    a token of its own administrator alone. `env` is the environment a job starts with. `transport` is for tests.
    """

    def __init__(
        self,
        *,
        url: str,
        user: str,
        token: Callable[[], str],
        prepare: Callable[[RunOrder], None],
        env: Callable[[str | None], Mapping[str, str]],
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if url.startswith("unix:"):
            transport = transport or httpx.HTTPTransport(
                uds=url.removeprefix("unix:").removeprefix("//"), limits=_ONE_EACH
            )
            url = "http://localhost"
        elif not url.startswith(("http://", "https://")):
            raise InvalidRequest(
                f"{url!r} leads to no slurmrestd", field="url", allowed="http://…, https://… or unix:/…"
            )
        self._client = httpx.Client(
            base_url=url, timeout=timeout_s, transport=transport, trust_env=False, limits=_ONE_EACH
        )
        self._user = user
        self._token = token
        self._prepare = prepare
        self._env = env
        self._version: str | None = None

    def submit(self, order: RunOrder, *, comment: str, gres: str | None) -> str:
        self._prepare(order)
        version = self._spoken()
        body = rest_values.submission(
            order, version=version, comment=comment, gres=gres, env=self._env(order.posix_user)
        )
        try:
            reply = self._send("POST", f"/slurm/{version}/job/submit", user=order.posix_user, body=body)
            answer = _json(reply)
        except (_Unanswered, UnreadableReply) as error:
            raise OutcomeUnknown(
                f"slurmrestd did not answer the submission of {order.tag}, look it up by its tag: {error}",
                tag=order.tag,
            ) from error
        native_id = rest_values.submitted_id(answer)
        if native_id is not None:
            return native_id
        raise submission_error(rest_values.errors(answer), tag=order.tag)

    def jobs(self, native_ids: Sequence[str]) -> Sequence[JobFacts]:
        wanted = [native_id for native_id in native_ids if native_id.isdigit()]
        if len(wanted) > _FEW:
            those = set(wanted)
            return [job for job in self.queue() if job.native_id in those]
        return [job for native_id in wanted for job in self._job(native_id)]

    def jobs_named(self, names: Sequence[str]) -> Sequence[JobFacts]:
        those = set(names)
        return [job for job in self.queue() if job.name in those]

    def queue(self) -> Sequence[JobFacts]:
        return rest_values.jobs(self._get("jobs"))

    def cancel(self, native_id: str, *, posix_user: str | None) -> None:
        try:
            reply = self._send("DELETE", f"/slurm/{self._spoken()}/job/{native_id}", user=posix_user)
            words = rest_values.errors(_json(reply)) if reply.content else ""
        except _Unanswered as error:
            raise Unavailable(f"slurmrestd did not answer, ask again: {error}") from error
        gone = _NO_SUCH_JOB in words or "already complet" in words
        if reply.is_error and not gone:
            raise Unavailable(f"slurmrestd did not cancel job {native_id}, ask again: {words or reply.status_code}")

    def nodes(self, *, partition: str | None = None) -> Sequence[NodeFacts]:
        return rest_values.nodes(self._get("nodes"), partition=partition)

    def _job(self, native_id: str) -> Sequence[JobFacts]:
        try:
            return rest_values.jobs(self._get(f"job/{native_id}"))
        except _Refused as error:
            if _NO_SUCH_JOB in error.message:
                return ()
            raise

    def _get(self, what: str) -> Mapping[str, Any]:
        try:
            reply = self._send("GET", f"/slurm/{self._spoken()}/{what}")
        except _Unanswered as error:
            raise Unavailable(f"slurmrestd did not answer, ask again: {error}") from error
        answer = _json(reply)
        if reply.is_error:
            raise _Refused(f"slurmrestd says of {what}: {rest_values.errors(answer) or reply.status_code}")
        return answer

    def _spoken(self) -> str:
        """The version of the API, asked for once."""
        if self._version is None:
            try:
                reply = self._send("GET", "/openapi/v3")
            except _Unanswered as error:
                raise Unavailable(f"slurmrestd did not answer, ask again: {error}") from error
            paths = _json(reply).get("paths")
            if not isinstance(paths, dict):
                raise UnreadableReply("slurmrestd's /openapi/v3 lists no paths")
            self._version = rest_values.choose_version(paths)
        return self._version

    def _send(
        self, method: str, path: str, *, user: str | None = None, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        headers = {"X-SLURM-USER-NAME": user or self._user, "X-SLURM-USER-TOKEN": self._token()}
        try:
            reply = self._client.request(method, path, headers=headers, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise Unavailable(f"slurmrestd cannot be reached, nothing was sent: {error}") from error
        except httpx.HTTPError as error:
            raise _Unanswered(str(error) or type(error).__name__) from error
        if reply.status_code in (401, 403):
            raise Unavailable("slurmrestd does not accept the token: renew it (`scontrol token`)")
        return reply


class _Unanswered(Exception):
    """The request went out and no whole reply came back."""


class _Refused(Unavailable):
    """slurmrestd answered with an error of its own."""


def _json(reply: httpx.Response) -> dict[str, Any]:
    try:
        answer = reply.json()
    except ValueError as error:
        raise UnreadableReply(f"slurmrestd gave no JSON ({reply.status_code}): {reply.text[:200]!r}") from error
    if not isinstance(answer, dict):
        raise UnreadableReply(f"slurmrestd gave no JSON object: {reply.text[:200]!r}")
    return answer
