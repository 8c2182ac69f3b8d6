"""One request over the wire: credentials, redirects, retries. Statuses are values here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from enum import Enum
from http import HTTPStatus
from urllib.parse import urljoin

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from fhir_adapter.client.auth import Auth
from fhir_adapter.client.losses import REPEATED_LOSSES, Lost, fault_of_loss, loss_of
from fhir_adapter.client.network import Network
from fhir_adapter.client.retry import RetryBudget, retry_after
from fhir_adapter.client.urls import is_followed, same_origin

_LEAKY_LOGGERS = ("urllib3.connectionpool", "urllib3.connection", "requests")
for _name in _LEAKY_LOGGERS:  # they print whole URLs, patients' ids included, below ERROR
    logging.getLogger(_name).setLevel(logging.ERROR)

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPING_METHOD = frozenset({307, 308})
_RETRIED = frozenset({429, 502, 503, 504})
_NOT_DONE = frozenset({429, 503})
_UNAUTHORIZED = HTTPStatus.UNAUTHORIZED
_CHUNK = 2**17


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds without a connection, and without a byte."""

    connect: float = 5.0
    read: float = 60.0


class Repeat(Enum):
    """What may be sent a second time."""

    ALWAYS = "always"
    """Safe or idempotent: GET, POST _search, PUT, DELETE."""
    WHEN_REFUSED = "when-refused"
    """Conditional create: only after a 429 or 503, which say that nothing was done."""
    NEVER = "never"
    """Plain create."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request; its repr shows neither address nor body."""

    method: str
    url: str = field(repr=False)
    where: str
    """Base URL and resource type: all that an error may show."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes | None = field(default=None, repr=False)
    repeat: Repeat = Repeat.ALWAYS
    writes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whatever the status; its repr shows the status only."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    redirected: bool = False
    """Whether it came from another address than was asked."""

    @property
    def retry_after(self) -> float | None:
        """Seconds the server wants us to wait; None where it names none."""
        return retry_after(self.headers.get("Retry-After", ""), self.headers.get("Date", ""))


class CutOff(Exception):  # noqa: N818 - a state of a body, mended by asking for the rest
    """A body that was being read broke off."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer whose body is still coming; its repr shows the status only."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    _response: requests.Response = field(repr=False)

    @property
    def retry_after(self) -> float | None:
        """As of ``Answer``."""
        return retry_after(self.headers.get("Retry-After", ""), self.headers.get("Date", ""))

    def chunks(self) -> Iterator[bytes]:
        """The body as it was sent, not unpacked; CutOff where it breaks off."""
        try:
            yield from self._response.raw.stream(_CHUNK, decode_content=False)
        except (HTTPError, OSError):
            raise CutOff from None

    def close(self) -> None:
        """Read no more of it."""
        self._response.close()


class Transport:
    """Sends requests to one base URL over one session; nothing but ``opened`` goes elsewhere."""

    def __init__(
        self,
        base: str,
        *,
        auth: Auth | None,
        timeouts: Timeouts,
        budget: RetryBudget,
        sleep: Callable[[float], None],
        headers: Mapping[str, str],
        network: Network,
    ) -> None:
        self.base = base
        self.sent: int = 0
        self.dated: str = ""
        """Date header of the server's last answer."""
        self._auth = auth
        self._timeouts = (timeouts.connect, timeouts.read)
        self._budget = budget
        self._sleep = sleep
        self._network = network
        self._session = network.session()
        self._session.headers.update(headers)
        self._session.cert = network.client_cert
        self._elsewhere = network.session()
        self._elsewhere.headers["User-Agent"] = headers.get("User-Agent", "")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
        self._elsewhere.close()

    def ask(self, asked: Asked) -> Answer:
        """The answer after the retries that the budget allows; raises where there is none."""
        return self._until_answered(lambda: asked, self._once)

    def ask_elsewhere(self, make: Callable[[], Asked]) -> Answer:
        """As ``ask``, of any origin, made anew for each try; a redirect is an answer.

        Credentials, the headers of the settings and the client's certificate stay at home.
        """

        def once(asked: Asked) -> Answer | Lost:
            return self._send(asked, asked.url, "")

        return self._until_answered(make, once)

    def _until_answered(
        self, make: Callable[[], Asked], once: Callable[[Asked], Answer | Lost]
    ) -> Answer:
        tried, waited = 1, 0.0
        while True:
            asked = make()
            found = once(asked)
            pause = self._pause(asked, found, tried=tried, waited=waited)
            asked_to_wait = self._asked_to_wait(asked, found)
            if pause is None:
                if asked_to_wait:
                    self._network.gate.hold(asked_to_wait)
                return _answer(asked, found)
            with self.holding(asked.url, asked_to_wait):
                self._sleep(pause)
            tried, waited = tried + 1, waited + pause

    @contextmanager
    def holding(self, url: str, wanted: float | None) -> Generator[None]:
        """Every request to the host of ``url`` waits while the block lasts, at most as it wants."""
        seconds = self._shared_wait(url, wanted)
        with self._network.gate.held(seconds) if seconds else nullcontext():
            yield

    def _pause(
        self, asked: Asked, found: Answer | Lost, *, tried: int, waited: float
    ) -> float | None:
        if not _may_repeat(asked.repeat, found):
            return None
        wanted = found.retry_after if isinstance(found, Answer) else None
        return self._budget.pause(tried=tried, waited=waited, asked=wanted)

    def _asked_to_wait(self, asked: Asked, found: Answer | Lost) -> float:
        if isinstance(found, Lost) or found.status not in _NOT_DONE:
            return 0.0
        return self._shared_wait(asked.url, found.retry_after)

    def _shared_wait(self, url: str, wanted: float | None) -> float:
        """Seconds for which every request to this host waits; 0 where nobody has to.

        A time that is longer than the budget of one request holds nobody: whoever asks meanwhile
        is told so by the server, and does not hang for an hour.
        """
        if wanted is None or not same_origin(url, self.base):
            return 0.0  # another host, such as that of the tokens
        return wanted if wanted <= self._budget.seconds else 0.0

    def _once(self, asked: Asked) -> Answer | Lost:
        header = self._auth.header() if self._auth is not None else ""
        found = self._follow(asked, header)
        if self._auth is None or isinstance(found, Lost) or found.status != HTTPStatus.UNAUTHORIZED:
            return found
        other = self._auth.renewed(header)
        return found if other == header else self._follow(asked, other)

    def _follow(self, asked: Asked, authorization: str) -> Answer | Lost:
        url = asked.url
        for hops in range(_MAX_REDIRECTS):
            found = self._send(asked, url, authorization)
            if isinstance(found, Lost):
                return found
            if found.status not in _REDIRECTS:
                return replace(found, redirected=hops > 0)
            if asked.method != "GET" and found.status not in _KEEPING_METHOD:
                return Lost.REDIRECTED
            url = urljoin(url, found.headers.get("Location", ""))
            if not same_origin(url, self.base):
                return Lost.FOREIGN_REDIRECT
        return Lost.REDIRECTED

    def _send(self, asked: Asked, url: str, authorization: str) -> Answer | Lost:
        at_home = same_origin(url, self.base)
        self._stand(at_home=at_home)
        try:
            with self._network.gate.passed():
                response = (self._session if at_home else self._elsewhere).request(
                    asked.method,
                    url,
                    headers=dict(asked.headers),
                    data=asked.body,
                    auth=_Authorization(authorization),
                    timeout=self._timeouts,
                    allow_redirects=False,
                    **self._network.options(),
                )
        except (OSError, ValueError) as error:
            return loss_of(error)
        if at_home:
            self.dated = response.headers.get("Date", "")
        return Answer(status=response.status_code, headers=response.headers, body=response.content)

    def _stand(self, *, at_home: bool) -> None:
        """What the FHIR server asked for keeps no other host waiting."""
        self.sent += 1
        if at_home:
            self._network.gate.stand(self._sleep)

    @contextmanager
    def opened(self, asked: Asked, *, with_credentials: bool) -> Generator[Opened]:
        """One try at a file, which may lie on another origin; raises where there is no answer.

        Credentials, the headers of the settings and the client's certificate stay at home.
        """
        header = self._auth.header() if self._auth is not None and with_credentials else ""
        found = self._follow_file(asked, header)
        if self._auth and header and isinstance(found, Opened) and found.status == _UNAUTHORIZED:
            other = self._auth.renewed(header)
            if other != header:
                found.close()
                found = self._follow_file(asked, other)
        if isinstance(found, Lost):
            raise fault_of_loss(found, asked.where)
        try:
            yield found
        finally:
            found.close()

    def _follow_file(self, asked: Asked, authorization: str) -> Opened | Lost:
        url = asked.url
        for _ in range(_MAX_REDIRECTS):
            if not is_followed(url, self.base):
                return Lost.FOREIGN_REDIRECT
            found = self._open(asked, url, authorization)
            if isinstance(found, Lost) or found.status not in _REDIRECTS:
                return found
            found.close()
            url = urljoin(url, found.headers.get("Location", ""))
        return Lost.REDIRECTED

    def _open(self, asked: Asked, url: str, authorization: str) -> Opened | Lost:
        at_home = same_origin(url, self.base)
        self._stand(at_home=at_home)
        try:
            with self._network.gate.passed():
                response = (self._session if at_home else self._elsewhere).request(
                    asked.method,
                    url,
                    headers=dict(asked.headers),
                    auth=_Authorization(authorization if at_home else ""),
                    timeout=self._timeouts,
                    allow_redirects=False,
                    stream=True,
                    **self._network.options(),
                )
        except (OSError, ValueError) as error:
            return loss_of(error)
        return Opened(response.status_code, response.headers, response)


class _Authorization(AuthBase):
    """Sets the header; being there at all, it keeps requests from reading a .netrc file."""

    def __init__(self, header: str) -> None:
        self._header = header

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header:
            request.headers["Authorization"] = self._header
        return request


def _may_repeat(repeat: Repeat, found: Answer | Lost) -> bool:
    if isinstance(found, Lost):
        return repeat is Repeat.ALWAYS and found in REPEATED_LOSSES
    match repeat:
        case Repeat.ALWAYS:
            return found.status in _RETRIED
        case Repeat.WHEN_REFUSED:
            return found.status in _NOT_DONE
        case Repeat.NEVER:
            return False


def _answer(asked: Asked, found: Answer | Lost) -> Answer:
    if isinstance(found, Answer):
        return found
    raise fault_of_loss(found, asked.where)
