"""How a server is reached: TLS with an authority of our own, both ways; proxies; the gate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fhir_adapter.bootstrap.clients import record_client
from fhir_adapter.client import FhirClient, Gate, Network, RetryBudget, Timeouts
from fhir_adapter.client.bulk import ExportFile
from fhir_adapter.client.bulk_files import BulkFiles
from fhir_adapter.client.transport import Asked
from fhir_adapter.errors import ServerFault, ServerThrottled, ServerUnreachable, SettingInvalid
from fhir_adapter.settings import Connection, Settings

from fault_proxy import FaultProxy, throttled
from key_files import private_file
from plain_server import Plain, plain_server

PATIENT = b'{"resourceType": "Patient", "id": "1"}'
ONCE = RetryBudget(tries=1)


# ------------------------------------------------------------------------------------ TLS


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """A hospital's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = named("hospital authority")
        cert = self._signed(self.name, self.key.public_key(), is_authority=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))

    def certificate(self, name: str) -> tuple[str, str]:
        """Files of a certificate and its key, for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._signed(named(name), key.public_key(), is_authority=False)
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        chain = cert.public_bytes(serialization.Encoding.PEM).decode()
        return (
            str(private_file(self.folder / f"{name}.pem", chain)),
            str(private_file(self.folder / f"{name}.key", text)),
        )

    def _signed(self, name: x509.Name, key: Any, *, is_authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        host = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(host, critical=False)
            .sign(self.key, hashes.SHA256())
        )


class Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        self.send_response(302 if self.server.redirect else 200)
        if self.server.redirect:
            self.send_header("Location", self.server.redirect)
        self.send_header("Content-Length", str(len(PATIENT)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(PATIENT)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        del args


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    asked: list[tuple[str, dict[str, str]]]
    certificates: list[bytes | None]
    """What its callers showed of themselves."""
    redirect: str = ""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A handshake that fails is what is tested."""


@contextmanager
def tls_server(
    context: ssl.SSLContext | None, handler: type[Handler] = Handler
) -> Generator[Quiet]:
    running = Quiet(("127.0.0.1", 0), handler)
    running.asked, running.certificates = [], []
    if context is not None:
        running.socket = context.wrap_socket(
            running.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def context_of(authority: Authority, *, mutual: bool) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*authority.certificate("server"))
    if mutual:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(authority.file)
    return made


@pytest.fixture
def secure(authority: Authority) -> Iterator[str]:
    with tls_server(context_of(authority, mutual=False)) as running:
        yield f"https://127.0.0.1:{running.server_port}/fhir"


@pytest.fixture
def mutual(authority: Authority) -> Iterator[str]:
    with tls_server(context_of(authority, mutual=True)) as running:
        yield f"https://127.0.0.1:{running.server_port}/fhir"


def read(url: str, **connection: str) -> Any:
    """Through the settings, as a command does."""
    settings = Settings(record_server=url, record=Connection(**connection))
    return record_client(settings, patience=2).read("Patient", "1")


def test_a_private_authority_is_trusted_where_it_is_named(
    secure: str, authority: Authority
) -> None:
    assert read(secure, ca_file=str(authority.file)) == {"resourceType": "Patient", "id": "1"}


def test_an_authority_that_is_not_named_is_not_trusted(secure: str) -> None:
    with pytest.raises(ServerUnreachable, match="not trusted") as caught:
        read(secure)
    assert "ca_file" in caught.value.remedy


def test_a_certificate_for_another_name_is_told_from_one_that_is_not_trusted(
    secure: str, authority: Authority
) -> None:
    with pytest.raises(ServerUnreachable, match="its certificate is for another name") as caught:
        read(secure.replace("127.0.0.1", "localhost"), ca_file=str(authority.file))
    assert "ca_file" not in caught.value.remedy


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_ca_file_without_a_certificate_is_said_before_anything_is_sent(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(text, "utf-8")
    with plain_server(200) as server, pytest.raises(SettingInvalid, match="no certificate"):
        read(server.base_url, ca_file=str(file))
    assert server.asked == []


def test_a_name_that_cannot_be_resolved_is_told_from_a_closed_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    client = FhirClient("http://ehr.invalid/fhir", budget=ONCE)
    with pytest.raises(ServerUnreachable, match="its name cannot be resolved") as caught:
        client.read("Patient", "1")
    assert "the host in the base URL" in caught.value.remedy


def test_the_settings_go_before_the_environment(
    secure: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """requests lets REQUESTS_CA_BUNDLE win over what a session holds."""
    other = Authority(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.file))
    assert read(secure, ca_file=str(authority.file))["id"] == "1"
    with pytest.raises(ServerUnreachable, match="not trusted"):
        read(secure)


def test_a_certificate_is_shown_where_the_server_wants_one(
    mutual: str, authority: Authority
) -> None:
    cert, key = authority.certificate("adapter")
    found = read(mutual, ca_file=str(authority.file), client_cert=cert, client_key=key)
    assert found["id"] == "1"


def test_a_combined_file_of_certificate_and_key_works(
    mutual: str, authority: Authority, tmp_path: Path
) -> None:
    cert, key = map(Path, authority.certificate("adapter"))
    both = private_file(tmp_path / "both.pem", cert.read_text() + key.read_text())
    assert read(mutual, ca_file=str(authority.file), client_cert=str(both))["id"] == "1"


def test_a_server_that_wants_a_certificate_is_named(mutual: str, authority: Authority) -> None:
    with pytest.raises(ServerUnreachable) as caught:
        read(mutual, ca_file=str(authority.file))
    assert caught.value.message == "the TLS handshake was broken off"
    assert "client_cert" in caught.value.remedy


def test_a_certificate_of_another_authority_is_refused(
    mutual: str, authority: Authority, tmp_path: Path
) -> None:
    cert, key = Authority(tmp_path).certificate("stranger")
    with pytest.raises(ServerUnreachable):
        read(mutual, ca_file=str(authority.file), client_cert=cert, client_key=key)


def test_a_key_that_does_not_fit_its_certificate_is_no_crash(
    mutual: str, authority: Authority
) -> None:
    cert, _ = authority.certificate("one")
    _, key = authority.certificate("two")
    with pytest.raises(ServerUnreachable, match="handshake"):
        read(mutual, ca_file=str(authority.file), client_cert=cert, client_key=key)


# -------------------------------------------------------------------------------- proxies


@pytest.fixture
def forward_proxy() -> Iterator[Quiet]:
    with tls_server(None) as running:
        yield running


def test_a_proxy_of_the_settings_is_used(forward_proxy: Quiet) -> None:
    proxy = f"http://127.0.0.1:{forward_proxy.server_port}"
    assert read("http://ehr.invalid/fhir", proxy=proxy)["id"] == "1"
    assert forward_proxy.asked[0][0] == "http://ehr.invalid/fhir/Patient/1"


def test_a_proxy_of_the_settings_goes_before_the_environment(
    forward_proxy: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    proxy = f"http://127.0.0.1:{forward_proxy.server_port}"
    assert read("http://ehr.invalid/fhir", proxy=proxy)["id"] == "1"


def test_a_proxy_of_the_environment_is_used(
    forward_proxy: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{forward_proxy.server_port}")
    assert read("http://ehr.invalid/fhir")["id"] == "1"


def test_a_proxy_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(ServerUnreachable, match="proxy did not connect") as caught:
        read("http://ehr.invalid/fhir", proxy="http://user:canary@127.0.0.1:9")
    assert "canary" not in f"{caught.value}{caught.value.__context__}"
    assert "HTTPS_PROXY" in caught.value.remedy
    assert "canary" not in repr(Network(proxy="http://user:canary@127.0.0.1:9"))


# -------------------------------------------------------------------------- further headers


def test_headers_of_the_settings_are_sent(server: Any, reply: Any) -> None:
    server.say(reply({"resourceType": "Patient", "id": "1"}))
    settings = Settings(
        record_server=server.url, record=Connection(headers="X-Tenant-ID: a; Epic-Client-ID: b")
    )
    client = record_client(settings)
    client.read("Patient", "1")
    sent = server.seen[0].headers
    assert (sent["X-Tenant-ID"], sent["Epic-Client-ID"]) == ("a", "b")
    assert sent["Accept"] == "application/fhir+json"


def fetched(client: FhirClient, url: str, folder: Path) -> bytes:
    """A file of an export, with everything that belongs to home at hand."""
    files = BulkFiles(client._transport, folder, needs_token=True, budget=ONCE)
    return (folder / files.fetch(ExportFile(type="Patient", url=url), "1").name).read_bytes()


def elsewhere(client: FhirClient, url: str) -> bytes:
    """As the token endpoint is asked."""
    asked = Asked(method="GET", url=url, where="tokens")
    return client._transport.ask_elsewhere(lambda: asked).body


@pytest.mark.parametrize("way", ["a redirect", "a file elsewhere", "a token endpoint"])
def test_another_origin_is_reached_and_sees_nothing_of_home(
    server: Any, reply: Any, tmp_path: Path, way: str
) -> None:
    headers = "X-Tenant-ID: canary; Ocp-Key: canary"
    settings = Settings(record_server=server.url, record=Connection(headers=headers))
    client = record_client(settings)
    with tls_server(None) as other:
        away = f"http://127.0.0.1:{other.server_port}/1"
        server.say(reply(status=302, body=b"", headers={"Location": away}))
        match way:
            case "a redirect":
                body = fetched(client, f"{server.url}/1", tmp_path)
            case "a file elsewhere":
                body = fetched(client, away, tmp_path)
            case _:
                body = elsewhere(client, away)
        ((_, seen),) = other.asked
    assert body == PATIENT, "it was really reached"
    assert "X-Tenant-ID" not in seen
    assert "canary" not in str(seen)
    at_home = [one.headers["X-Tenant-ID"] for one in server.seen]
    assert at_home == (["canary"] if way == "a redirect" else [])


@pytest.mark.parametrize("way", ["a redirect", "a next link"])
def test_a_question_about_patients_never_leaves_home(server: Any, reply: Any, way: str) -> None:
    client = record_client(Settings(record_server=server.url, record=Connection(headers="X-T: a")))
    with tls_server(None) as other:
        away = f"http://127.0.0.1:{other.server_port}/Observation"
        page = {
            "resourceType": "Bundle",
            "type": "searchset",
            "link": [{"relation": "next", "url": away}],
        }
        moved = reply(status=307, body=b"", headers={"Location": away})
        server.say(moved if way == "a redirect" else reply(page))
        if way == "a redirect":
            with pytest.raises(ServerFault):
                client.search("Observation", {})
        else:
            assert not client.search("Observation", {}).complete
    assert other.asked == []
    assert server.seen


class Certified(Handler):
    def do_GET(self) -> None:
        self.server.certificates.append(self.connection.getpeercert(binary_form=True))
        super().do_GET()


@pytest.mark.parametrize("way", ["a redirect", "a file elsewhere", "a token endpoint"])
def test_a_client_certificate_is_shown_at_home_only(
    authority: Authority, tmp_path: Path, way: str
) -> None:
    """Both would take one (CERT_OPTIONAL); only home is given it."""
    cert, key = authority.certificate("adapter")
    optional = context_of(authority, mutual=True)
    optional.verify_mode = ssl.CERT_OPTIONAL
    with tls_server(optional, Certified) as home, tls_server(optional, Certified) as other:
        base, away = (f"https://127.0.0.1:{one.server_port}/fhir" for one in (home, other))
        known = Connection(ca_file=str(authority.file), client_cert=cert, client_key=key)
        client = record_client(Settings(record_server=base, record=known), patience=2)
        assert client.read("Patient", "1") is not None
        home.redirect = f"{away}/1"
        match way:
            case "a redirect":
                body = fetched(client, f"{base}/1", tmp_path)
            case "a file elsewhere":
                body = fetched(client, f"{away}/1", tmp_path)
            case _:
                body = elsewhere(client, f"{away}/1")
    assert body == PATIENT, "it was really reached"
    assert all(home.certificates)
    assert other.certificates == [None]


# ------------------------------------------------------------------------------- the gate


class Counting:
    """How many are inside at once."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.lock = threading.Lock()

    def fault(self, one: Any, forward: Callable[[Any], Any]) -> Any:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            threading.Event().wait(0.05)
            return forward(one)
        finally:
            with self.lock:
                self.inside -= 1


def test_all_clients_of_a_host_together_keep_to_its_limit(server: Any, reply: Any) -> None:
    server.say(reply({"resourceType": "Patient", "id": "1"}))
    counting = Counting()
    with FaultProxy(server.url) as proxy:
        proxy.arm(counting.fault)
        settings = Settings(record_server=proxy.url, record=Connection(concurrency="2"))
        clients = [record_client(settings) for _ in range(3)]
        threads = [
            threading.Thread(target=lambda c=client: c.read("Patient", "1"))
            for client in clients
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(server.seen) == 12
    assert counting.most == 2


def test_a_slot_is_free_again_after_a_failure() -> None:
    gate = Gate(concurrency=1)
    client = FhirClient(
        "http://127.0.0.1:9/fhir",
        network=Network(gate=gate),
        budget=ONCE,
        timeouts=Timeouts(connect=1.0),
    )
    for _ in range(3):
        with pytest.raises(ServerUnreachable):
            client.read("Patient", "1")
    with gate.passed():
        pass


def test_turns_are_given_out_evenly() -> None:
    naps: list[float] = []
    now = [100.0]
    gate = Gate(per_second=4, sleep=naps.append, clock=lambda: now[0])
    for _ in range(3):
        with gate.passed():
            pass
    now[0] = 110.0
    with gate.passed():
        pass
    assert naps == [0.25, 0.5]


@pytest.fixture
def anybody() -> Iterator[Plain]:
    """A server that gives the same Patient to whoever asks."""
    with plain_server(200, b'{"resourceType": "Patient", "id": "1"}') as found:
        yield found


def two_of_one_host(
    base: str, sleep: Any, **more: Any
) -> tuple[FhirClient, FhirClient, list[float]]:
    """Two clients that share the gate of their host; what the second one waited."""
    gate, naps = Gate(concurrency=5), list[float]()
    first = FhirClient(base, network=Network(gate=gate), sleep=sleep, **more)
    second = FhirClient(base, network=Network(gate=gate), sleep=naps.append)
    return first, second, naps


@pytest.mark.parametrize("code", [429, 503])
def test_a_retry_after_holds_back_every_request_to_that_host(anybody: Plain, code: int) -> None:
    order: list[str] = []

    def told_to_wait(seconds: float) -> None:
        order.append(f"first waits {seconds:g}")
        second.read("Patient", "2")  # meanwhile, somebody else
        order.append(f"second waited {len(naps)} times")

    with FaultProxy(anybody.base_url) as proxy:
        proxy.arm(throttled(code, "30"), times=1)
        first, second, naps = two_of_one_host(proxy.url, told_to_wait)
        first.read("Patient", "1")
        assert order == ["first waits 30", "second waited 1 times"]
        assert 0 < naps[0] <= 30
        second.read("Patient", "2")
        assert len(naps) == 1, "the time is over"


def test_whoever_is_told_and_does_not_ask_again_holds_back_the_others_too(anybody: Plain) -> None:
    with FaultProxy(anybody.base_url) as proxy:
        proxy.arm(throttled(429, "30"), times=1)
        first, second, naps = two_of_one_host(proxy.url, lambda _: None, budget=ONCE)
        with pytest.raises(ServerThrottled):
            first.read("Patient", "1")
        second.read("Patient", "2")
    assert len(naps) == 1


def test_a_time_beyond_the_budget_hangs_nobody(anybody: Plain) -> None:
    with FaultProxy(anybody.base_url) as proxy:
        proxy.arm(throttled(429, "7200"), times=1)
        first, second, naps = two_of_one_host(proxy.url, lambda _: None)
        with pytest.raises(ServerThrottled):
            first.read("Patient", "1")
        second.read("Patient", "2")
    assert naps == []


def test_a_later_word_of_the_host_outlasts_an_earlier_one() -> None:
    now = [100.0]
    gate = Gate(clock=lambda: now[0])
    with gate.held(5):
        gate.hold(60)
    naps: list[float] = []
    gate.stand(naps.append)
    assert naps == [60.0]
    now[0] = 160.0
    gate.stand(naps.append)
    assert naps == [60.0]


def test_who_stands_is_not_held_again_by_what_others_are_told_meanwhile() -> None:
    """Or one question waits for ever where the server always answers 429."""
    now, naps = [100.0], list[float]()
    gate = Gate(concurrency=1, clock=lambda: now[0])
    gate.hold(2)

    def nap(seconds: float) -> None:
        naps.append(seconds)
        now[0] += seconds
        gate.hold(2)
        with gate.passed():
            pass  # and whoever stands keeps no slot from others

    gate.stand(nap)
    assert naps == [2.0]


def test_a_hold_that_ends_while_it_is_looked_at_is_none() -> None:
    ticks = iter((100.0, 102.5))
    gate = Gate(clock=lambda: next(ticks))
    gate.hold(2)
    naps: list[float] = []
    gate.stand(naps.append)
    assert naps == []
