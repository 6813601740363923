"""Media control as a proxy sees it, against a dispatcher and RTPEngines that are made here, on loopback."""

from __future__ import annotations

import datetime
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.node import media
from ansible_collections.sipha.cluster.plugins.module_utils.node.media import Identity, MediaError, Relay
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KNOWN = {"relay1": ["198.18.20.31", "198.18.10.31"], "relay2": ["198.18.20.32", "198.18.10.32"]}
# As Mediaproxy 4.1.2 says it; a relay that does not answer has no more than its status, under the address of its connection.
ACTIVE = {
    "ip": "198.18.10.32",
    "version": "4.1.2",
    "status": "active",
    "uptime": 298,
    "session_count": 3,
    "stream_count": {},
    "bps_relayed": 0.0,
}
SILENT = {"status": "error", "ip": "198.18.20.31"}


def relay(ip: str, status: str = "active") -> Relay:
    return Relay(ip, status)


# What they say


def test_a_summary_is_read_and_sorted() -> None:
    assert media.parse_summary(json.dumps([SILENT, ACTIVE])) == [
        Relay("198.18.10.32", "active", "4.1.2", 298, 3),
        Relay("198.18.20.31", "error", "", 0, 0),
    ]
    assert media.parse_summary("[]") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "here: not JSON: ''"),
        ("[{", "here: not JSON"),
        ("{}", "here: not a list of objects"),
        ("[1]", "here: not a list of objects"),
        ('[{"ip": "198.18.20.31"}]', "here: not a relay"),
        ('[{"status": "active"}]', "here: not a relay"),
        ('[{"ip": "198.18.20.31", "status": "active", "uptime": "long"}]', "here: not a relay"),
        ('[{"ip": "198.18.20.31", "status": "active", "session_count": null}]', "here: not a relay"),
    ],
)
def test_what_is_no_summary_is_an_error_of_ours(text: str, problem: str) -> None:
    with pytest.raises(MediaError, match=problem):
        media.parse_summary(text, "here")


def test_a_relay_is_known_by_both_its_addresses() -> None:
    assert media.name_of(relay("198.18.20.31"), KNOWN) == "relay1"
    assert media.name_of(relay("198.18.10.31"), KNOWN) == "relay1"
    assert media.name_of(relay("198.18.10.33"), KNOWN) == ""


BOTH = [relay("198.18.10.31"), relay("198.18.10.32")]


@pytest.mark.parametrize(
    ("seen", "expected", "problems"),
    [
        (BOTH, None, []),
        (BOTH[1:], None, ["relay relay1 is not connected"]),
        ([relay("198.18.20.31", "error"), BOTH[1]], None, ["relay relay1 is error"]),
        ([relay("198.18.10.31", "halting"), BOTH[1]], None, ["relay relay1 is halting"]),
        ([], None, ["relay relay1 is not connected", "relay relay2 is not connected"]),
        ([*BOTH, relay("198.18.10.33")], None, ["relay 198.18.10.33 is connected, but not in the group relays"]),
        (BOTH[1:], ["relay2"], []),
        (BOTH[1:], ["relay1"], ["relay relay1 is not connected"]),
        ([*BOTH, relay("198.18.10.33")], ["relay1"], []),
        ([], [], []),
    ],
)
def test_differences_are_said_one_by_one(seen: list[Relay], expected: list[str] | None, problems: list[str]) -> None:
    assert media.differences(seen, KNOWN, expected) == problems


@pytest.mark.parametrize(
    ("views", "without", "count"),
    [
        ([], [], 0),
        ([BOTH, BOTH], [], 2),
        ([BOTH, BOTH], KNOWN["relay1"], 1),
        ([BOTH, BOTH[:1]], [], 1),
        ([BOTH, BOTH[:1]], KNOWN["relay1"], 0),
        ([BOTH, [relay("198.18.10.31"), relay("198.18.20.32", "halting")]], KNOWN["relay1"], 0),
        ([[]], [], 0),
    ],
)
def test_spare_counts_what_the_poorest_dispatcher_has(views: list[list[Relay]], without: list[str], count: int) -> None:
    assert media.spare(views, without) == count


def session(call_id: str = "a", duration: int = 10, status: str = "active", caller: int = 0, callee: int = 0) -> dict[str, object]:
    stream = {"media_type": "audio", "status": status, "caller_bytes": caller, "callee_bytes": callee}
    return {"call_id": call_id, "duration": duration, "streams": [stream]}


def test_streams_that_the_kernel_does_not_count_are_found() -> None:
    assert media.silent_streams([session("b"), session("a")]) == ["a", "b"]
    assert media.silent_streams([session(duration=9)]) == []
    assert media.silent_streams([session(caller=1)]) == []
    assert media.silent_streams([session(callee=1)]) == []
    assert media.silent_streams([session(status="on hold")]) == []
    assert media.silent_streams([session(duration=3)], after=3) == ["a"]
    assert media.silent_streams([{"call_id": "a", "duration": 60}, session(caller=1)]) == []
    two = {**session(caller=1), "streams": [*session(caller=1)["streams"], *session()["streams"]]}  # type: ignore[misc]
    assert media.silent_streams([two]) == ["a"]


def nodes(number: int, **disabled: int) -> dict[str, object]:
    """A set as OpenSIPS tells it (rtpengine.c, mi_show_rtpengines)."""
    return {
        "Set": number,
        "Nodes": [
            {"url": f"udp:198.18.20.3{name[-1]}:2223", "index": index, "disabled": off, "weight": 1, "recheck_ticks": 0}
            for index, (name, off) in enumerate(disabled.items())
        ],
    }


@pytest.mark.parametrize(
    ("shown", "used"),
    [
        ([nodes(1, relay1=0, relay2=0), nodes(2, relay1=0, relay2=0)], ["1", "2"]),
        ([nodes(1, relay1=1, relay2=0), nodes(2, relay1=0, relay2=0)], ["2"]),
        ([nodes(1, relay1=0, relay2=0), nodes(2, relay1=0, relay2=1)], ["1"]),
        ([nodes(1, relay1=1), nodes(2, relay1=1)], []),
        ([], []),
        (None, []),
    ],
)
def test_an_rtpengine_is_used_when_no_set_has_disabled_it(shown: object, used: list[str]) -> None:
    assert media.used_rtpengines(shown) == {f"udp:198.18.20.3{number}:2223" for number in used}


# RTPEngine's ng protocol


@pytest.fixture
def rtpengine() -> Iterator[Callable[[Callable[[bytes], bytes]], int]]:
    """Starts an RTPEngine at 127.0.0.1 that answers as it is told; gives its port."""
    servers: list[socket.socket] = []

    def start(answer: Callable[[bytes], bytes]) -> int:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        servers.append(server)

        def serve() -> None:
            try:
                data, sender = server.recvfrom(65535)
                server.sendto(answer(data), sender)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        return int(server.getsockname()[1])

    yield start
    for server in servers:
        server.close()


def pong(data: bytes) -> bytes:
    cookie, _, message = data.partition(b" ")
    return cookie + (b" d6:result4:ponge" if message == b"d7:command4:pinge" else b" d6:result5:errore")


def test_the_rtpengine_that_answers_is_told_from_the_one_that_does_not(rtpengine: Callable[[Callable[[bytes], bytes]], int]) -> None:
    port = rtpengine(pong)
    assert media.answering_rtpengines(["127.0.0.1", "127.0.0.2"], port, 0.3) == {"127.0.0.1"}
    assert media.answering_rtpengines([], port, 0.3) == set()


def test_an_answer_is_not_waited_for_longer_than_it_takes(rtpengine: Callable[[Callable[[bytes], bytes]], int]) -> None:
    start = time.monotonic()
    assert media.answering_rtpengines(["127.0.0.1"], rtpengine(pong), 5.0) == {"127.0.0.1"}
    assert time.monotonic() - start < 2.5


@pytest.mark.parametrize(
    "answer",
    [
        lambda data: b"x" + pong(data),
        lambda data: data.split()[0] + b" d6:result5:errore",
        lambda data: pong(data).split()[1],
        lambda _: b"",
    ],
    ids=["another cookie", "an error", "no cookie", "nothing"],
)
def test_something_else_is_no_answer(rtpengine: Callable[[Callable[[bytes], bytes]], int], answer: Callable[[bytes], bytes]) -> None:
    assert media.answering_rtpengines(["127.0.0.1"], rtpengine(answer), 0.3) == set()


# Mediaproxy's dispatcher


@dataclass
class Authority:
    """A CA that signs into a directory."""

    directory: Path
    name: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self.name, self.key.public_key(), authority=True)
        self.file = self.directory / f"{self.name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, name: str, public: ec.EllipticCurvePublicKey, authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def pair(self, name: str) -> tuple[str, str]:
        """Files of a new certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, private = self.directory / f"{self.name}-{name}.crt", self.directory / f"{self.name}-{name}.key"
        certificate.write_bytes(self._sign(name, key.public_key(), authority=False).public_bytes(serialization.Encoding.PEM))
        private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return str(certificate), str(private)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("theirs"), "theirs")


class Server:
    """A management interface: one line to each command, b"" closes the connection, None says nothing."""

    def __init__(self, authority: Authority) -> None:
        self.answers: dict[str, bytes | None] = {"summary": json.dumps([ACTIVE, SILENT]).encode(), "version": b"4.1.2"}
        self.asked: list[str] = []
        self.connections: list[ssl.SSLSocket] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(authority.file)
        self.context.load_cert_chain(*authority.pair("dispatcher.sip1"))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[plain], daemon=True).start()

    def serve(self, plain: socket.socket) -> None:
        try:
            with self.context.wrap_socket(plain, server_side=True) as connection:
                self.connections.append(connection)
                for line in connection.makefile("rb"):
                    command = line.decode().rstrip("\r\n")
                    self.asked.append(command)
                    answer = self.answers.get(command, b"error")
                    if command == "quit" or answer == b"":
                        return
                    if answer is not None:
                        connection.sendall(answer + b"\r\n")
        except OSError:
            return

    def stop(self) -> None:
        """No new connections: closing alone would leave the socket to the thread that waits in it."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def hang_up(self) -> None:
        """As a killed dispatcher does."""
        for connection in self.connections:
            connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()


@pytest.fixture
def server(ours: Authority) -> Iterator[Server]:
    made = Server(ours)
    yield made
    if made.listener.fileno() != -1:
        made.stop()


@pytest.fixture(scope="module")
def identity(ours: Authority) -> Identity:
    return Identity(str(ours.file), *ours.pair("manager.sip1"))


def dispatcher(server: Server, identity: Identity) -> media.Dispatcher:
    return media.Dispatcher("127.0.0.1", server.port, identity, timeout=1.0)


def test_a_dispatcher_answers_its_commands(server: Server, identity: Identity) -> None:
    server.answers["sessions"] = json.dumps([session()]).encode()
    with dispatcher(server, identity) as connection:
        assert [(row.ip, row.status) for row in connection.relays()] == [("198.18.10.32", "active"), ("198.18.20.31", "error")]
        assert connection.version() == "4.1.2"
        assert connection.sessions() == [session()]
    assert server.asked[:3] == ["summary", "version", "sessions"]


def test_it_is_left_politely(server: Server, identity: Identity) -> None:
    dispatcher(server, identity).close()
    end = time.monotonic() + 5
    while not server.asked and time.monotonic() < end:
        time.sleep(0.01)
    assert server.asked == ["quit"]


def test_a_long_answer_comes_whole(server: Server, identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"ip": f"198.18.{i // 250}.{i % 250}", "status": "active"} for i in range(5000)]
    text = json.dumps(rows).encode()
    assert len(text) > 65536 * 2
    server.answers["summary"] = text
    with dispatcher(server, identity) as connection:
        assert len(connection.relays()) == 5000
        monkeypatch.setattr(media, "LINE_LIMIT", 65536)
        with pytest.raises(MediaError, match="an answer of more than 65536 bytes"):
            connection.relays()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"error", "summary: error$"),
        (b"", "closed the connection"),
        (None, "summary: .*timed out"),
        (b"hello", "not JSON: 'hello'"),
    ],
)
def test_what_goes_wrong_names_the_dispatcher(server: Server, identity: Identity, answer: bytes | None, problem: str) -> None:
    server.answers["summary"] = answer
    with dispatcher(server, identity) as connection, pytest.raises(MediaError, match=problem) as raised:
        connection.relays()
    assert str(raised.value).startswith(f"dispatcher 127.0.0.1:{server.port}: ")


def test_a_dispatcher_of_another_ca_is_not_believed(server: Server, ours: Authority, theirs: Authority) -> None:
    with pytest.raises(MediaError, match="certificate verify failed"):
        dispatcher(server, Identity(str(theirs.file), *ours.pair("manager.sip2")))
    assert server.asked == []


def test_a_manager_of_another_ca_is_not_let_in(server: Server, ours: Authority, theirs: Authority) -> None:
    """With TLS 1.3 we hear of it only where the first answer should be."""
    with (
        dispatcher(server, Identity(str(ours.file), *theirs.pair("manager.sip1"))) as connection,
        pytest.raises(MediaError, match="summary: "),
    ):
        connection.relays()
    assert server.asked == []


def test_nor_is_one_without_a_certificate(server: Server, ours: Authority) -> None:
    """Not a way that an Identity leaves open; this proves that the server above asks for one."""
    context = ssl.create_default_context(cafile=str(ours.file))
    context.check_hostname = False
    with context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), 1.0)) as connection:
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            connection.recv(100)
    assert server.asked == []


def test_files_and_ports_that_are_not_there(server: Server, identity: Identity, ours: Authority, tmp_path: Path) -> None:
    certificate, _ = ours.pair("manager.sip3")
    with pytest.raises(MediaError, match="No such file"):
        dispatcher(server, Identity(str(ours.file), certificate, str(tmp_path / "absent.key")))
    with pytest.raises(MediaError, match="KEY_VALUES_MISMATCH"):
        dispatcher(server, Identity(str(ours.file), certificate, identity.key))
    server.stop()
    with pytest.raises(MediaError, match="refused"):
        dispatcher(server, identity)


# Again and again


def watch(server: Server, identity: Identity, interval: float = 0.0) -> media.Watch:
    files = {"ca": identity.ca, "certificate": identity.certificate, "key": identity.key}
    return media.Watch("mediaproxy", "127.0.0.1", server.port, [], files, interval)


def test_a_watch_keeps_its_connection(server: Server, identity: Identity) -> None:
    watching = watch(server, identity)
    assert [watching.look() for _ in range(3)] == ["", "", ""]
    assert server.asked == ["summary"] * 3
    assert len(server.connections) == 1
    watching.close()


@pytest.mark.parametrize("rows", [[], [SILENT], [{**ACTIVE, "status": "halting"}]], ids=["none", "silent", "halting"])
def test_no_active_relay_is_a_problem_until_there_is_one(server: Server, identity: Identity, rows: list[dict[str, object]]) -> None:
    watching = watch(server, identity)
    server.answers["summary"] = json.dumps(rows).encode()
    assert watching.look() == f"dispatcher 127.0.0.1:{server.port} has no active relay"
    server.answers["summary"] = json.dumps([*rows, ACTIVE]).encode()
    assert watching.look() == ""
    watching.close()


def test_it_asks_no_more_often_than_it_should(server: Server, identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(media.time, "monotonic", lambda: now)
    watching = watch(server, identity, interval=3.0)
    server.answers["summary"] = b"[]"
    problem = watching.look()
    server.answers["summary"] = json.dumps([ACTIVE]).encode()
    now = 1002.9
    assert watching.look() == problem != ""
    assert server.asked == ["summary"]
    now = 1003.0
    assert watching.look() == ""
    assert server.asked == ["summary", "summary"]
    watching.close()


def test_the_end_of_the_dispatcher_is_noticed_at_the_next_look(server: Server, identity: Identity) -> None:
    watching = watch(server, identity, interval=3600.0)
    assert watching.look() == watching.look() == ""
    server.hang_up()
    assert watching.look() == f"dispatcher 127.0.0.1:{server.port}: closed the connection"
    # the next look is a new connection, whatever the interval
    assert watching.look() == ""
    assert server.asked == ["summary", "summary"]
    server.stop()
    server.hang_up()
    assert "closed the connection" in watching.look()
    assert "refused" in watching.look()


def test_a_wait_ends_when_the_dispatcher_goes_away(server: Server, identity: Identity) -> None:
    watching = watch(server, identity, interval=3600.0)
    assert watching.without_dispatcher
    assert watching.look() == ""
    assert not watching.without_dispatcher
    began = time.monotonic()
    watching.wait(0.2)
    assert time.monotonic() - began >= 0.19
    threading.Timer(0.1, server.hang_up).start()
    began = time.monotonic()
    watching.wait(20)
    assert time.monotonic() - began < 10
    assert "closed the connection" in watching.look()
    assert watching.without_dispatcher
    watching.wait(0.001)
    assert watching.look() == ""
    watching.close()


def test_an_error_is_followed_by_a_new_connection(server: Server, identity: Identity) -> None:
    watching = watch(server, identity, interval=3600.0)
    good = server.answers["summary"]
    server.answers["summary"] = b"error"
    assert watching.look().endswith("summary: error")
    server.answers["summary"] = good
    assert watching.look() == ""
    assert len(server.connections) == 2
    watching.close()


def test_without_a_certificate_it_asks_nobody(server: Server) -> None:
    assert media.Watch("mediaproxy", "127.0.0.1", server.port, [], {}).look() == "no certificate to ask the dispatcher with"
    assert server.connections == []


def test_one_rtpengine_that_answers_is_enough(rtpengine: Callable[[Callable[[bytes], bytes]], int]) -> None:
    port = rtpengine(pong)
    assert media.Watch("rtpengine", "", port, ["127.0.0.2", "127.0.0.1"], {}).look() == ""
    silent = rtpengine(lambda _: b"")
    assert media.Watch("rtpengine", "", silent, ["127.0.0.2", "127.0.0.1"], {}).look() == "no RTPEngine answers of 127.0.0.2, 127.0.0.1"
