"""Phones that talk (remote/media_phone), and what arrives of what they say. For any relay, or none."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

from cluster_lab import PASSWORD, REMOTE, SIP_PORT, Lab, until

HERE = Path(__file__).resolve().parent
PLACE = "/root/media"
PACKETS_PER_SECOND = 50
CARRIER_DOMAIN = "carrier.example.net"


@cache
def install(container: str) -> None:
    """Put the program on a host."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(HERE / "sip_text.py", "sip_text.py")
        for path in sorted((REMOTE / "media_phone").glob("*.py")):
            archive.add(path, f"media_phone/{path.name}")
    unpack = f"mkdir -p {PLACE} && tar -x -C {PLACE}"
    subprocess.run(["docker", "exec", "-i", container, "sh", "-c", unpack], input=packed.getvalue(), check=True)


@dataclass(frozen=True)
class Given:
    """What one session description from the other side said."""

    rtp: str
    rtcp: str
    direction: str
    connections: list[str]

    @property
    def address(self) -> str:
        return self.rtp.partition(":")[0]


@dataclass(frozen=True)
class Arrived:
    """What arrived at a port. `gap` is between packets; `gap_since_mark` includes the silence after the mark and the one until now."""

    packets: int
    since_mark: int
    gap: float
    gap_since_mark: float
    sources: list[str]
    sources_since_mark: list[str]
    duplicates: int = 0


@dataclass(frozen=True)
class Stats:
    """The state of a phone. `next` is the number of the next packet that it sends."""

    pings: int
    call_up: bool
    sent: int
    ssrc: int
    next: int
    reports_sent: int
    unsent: int
    rtp: Arrived
    rtcp: Arrived
    given: list[Given]

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        plain = {name: answer[name] for name in ("pings", "call_up", "sent", "ssrc", "next", "reports_sent", "unsent")}
        given = [Given(**entry) for entry in answer["given"]]
        return cls(**plain, rtp=Arrived(**answer["rtp"]), rtcp=Arrived(**answer["rtcp"]), given=given)


Event = dict[str, Any]


@dataclass
class MediaPhone:
    """A phone that talks: in the block it runs over there, and hangs up at its end. It takes calls unless told to reject them."""

    lab: Lab
    user: str
    host: str = "phone"
    network: str = "home"
    port: int = 0
    password: str = PASSWORD
    domain: str = ""
    seconds: float = 180
    events: list[Event] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.port = self.port or self.lab.port()
        self.domain = self.domain or self.lab.domain
        self._news = threading.Condition()
        self._read = 0  # events before this one were waited for
        self._asked = 0

    @classmethod
    def carrier(cls, lab: Lab, user: str = "+4989777", port: int = 0) -> Self:
        """The other end of a trunk: no password, no registration. At port SIP_PORT it is the lab's gateway."""
        return cls(lab, user, "probe", "public", port, password="", domain=CARRIER_DOMAIN)

    @property
    def address(self) -> str:
        return self.lab.address(self.host, self.network)

    @property
    def name(self) -> str:
        return f"{self.user} at {self.host}"

    @property
    def arguments(self) -> list[str]:
        options = {
            "user": self.user,
            "domain": self.domain,
            "password": self.password,
            "address": self.address,
            "port": self.port,
            "rtp-port": self.port + 10000,
            "proxy": self.lab.vip,
            "proxy-port": SIP_PORT,
            "seconds": self.seconds,
        }
        return [f"--{name}={value}" for name, value in options.items()]

    def start(self) -> subprocess.Popen[str]:
        host = self.lab.host(self.host)
        install(host.container)
        return host.interactive("env", f"PYTHONPATH={PLACE}", "python3", "-u", "-m", "media_phone", *self.arguments)

    def __enter__(self) -> Self:
        self._process = self.start()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        try:
            self.wait("ready")
        except AssertionError:
            self._process.kill()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()  # the phone hangs up and ends
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._thread.join(5)

    def _follow(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._add(json.loads(line) if line.startswith("{") else {"event": "error", "line": line.rstrip()})
        self._add({"event": "ended"})

    def _add(self, event: Event) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    # Asking
    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Give a command; what comes of it are events, what is returned is the answer of the phone itself."""
        self._asked += 1
        number = self._asked
        assert self._process.stdin
        assert self._process.poll() is None, f"{self.name} is not there any more; {self.tale}"
        self._process.stdin.write(json.dumps({"number": number, "command": command, **arguments}) + "\n")

        def look() -> Event | None:
            return next((event for event in reversed(self.events) if event.get("reply") == number), None)

        answer = self._when(look, 5, f"answer to {command}")
        assert "refused" not in answer, f"{self.name}: {command}: {answer}; {self.tale}"
        return answer

    def wait(self, event: str, seconds: float = 10, **fields: Any) -> Event:
        """The next such event after the one that was waited for last. A failure before it ends the wait."""

        def look() -> Event | None:
            for number, seen in enumerate(self.events[self._read :], self._read):
                if seen.get("event") == event and all(seen.get(name) == value for name, value in fields.items()):
                    self._read = number + 1
                    return seen
                assert seen.get("event") not in ("failed", "ended"), f"{self.name}: {event} wanted; {self.tale}"
            return None

        return self._when(look, seconds, f"{event} {fields or ''}")

    def _when(self, look: Callable[[], Event | None], seconds: float, what: str) -> Event:
        """What it reports, as soon as it does."""
        with self._news:
            found = self._news.wait_for(look, seconds)
        assert found, f"{self.name}: {what} did not come within {seconds:g} s; {self.tale}"
        return found

    @property
    def tale(self) -> str:
        """What it reported so far, in short."""
        events = [event for event in self.events if "event" in event]
        return "seen: " + "; ".join(f"{e['event']} {e.get('status') or e.get('by') or e.get('line') or ''}".strip() for e in events)

    # Signalling
    def register(self, expires: int = 300) -> Self:
        self.ask("register", expires=expires)
        self.wait("registered")
        return self

    def accept(self, ring: float = 0.2) -> None:
        """Take calls (it does from the start), after so many seconds of ringing."""
        self.ask("accept", ring=ring)

    def reject(self, status: int = 486) -> None:
        self.ask("reject", status=status)

    def call(self, callee: str) -> str:
        """Start a call to a user or number at the cluster; returns its Call-ID. Wait for "answered" or "failed"."""
        self.ask("call", callee=f"sip:{callee}@{self.lab.domain}")
        return str(self.wait("calling")["call_id"])

    def cancel(self) -> None:
        self.ask("cancel")
        self.wait("failed", method="INVITE", status=487)

    def hold(self) -> None:
        self.ask("hold")
        self.wait("reinvited", by="us")

    def resume(self) -> None:
        self.ask("resume")
        self.wait("reinvited", by="us")

    def bye(self) -> None:
        self.ask("bye")
        self.wait("bye", by="us")

    # Media
    def talk(self, on: bool) -> None:
        """It talks in every call unless it is told to stop: no RTP and no RTCP then."""
        self.ask("talk", on=on)

    def mark(self) -> Stats:
        return Stats.of(self.ask("mark"))

    def stats(self) -> Stats:
        return Stats.of(self.ask("stats"))

    def held(self, ssrc: int, first: int, end: int) -> int:
        """How many packets of a sender have arrived, of those from first to before end."""
        return int(self.ask("held", ssrc=ssrc, first=first, end=end)["packets"])


def connect(caller: MediaPhone, callee: MediaPhone, number: str = "") -> str:
    """A call that is answered and confirmed at both ends; returns its Call-ID (the caller's)."""
    call_id = caller.call(number or callee.user)
    callee.wait("incoming", call_id=call_id)
    caller.wait("answered")
    callee.wait("confirmed", call_id=call_id)
    return call_id


@dataclass(frozen=True)
class Flow:
    """One direction: what one phone sent in a period, and what the other heard of it."""

    sent: int
    received: int
    gap: float
    sources: list[str]
    reports_sent: int
    reports: int
    report_sources: list[str]

    @property
    def share(self) -> float:
        """Of the packets sent, those that arrived; nothing sent is nothing arrived."""
        return self.received / self.sent if self.sent else 0.0


@dataclass
class Flows:
    """Both directions of a call over a period; filled in at its end."""

    there: Flow | None = None
    back: Flow | None = None

    def both(self) -> tuple[Flow, Flow]:
        assert self.there is not None, "the period is not over"
        assert self.back is not None
        return self.there, self.back


def _flow(marked: Stats, ended: Stats, receiver: MediaPhone, heard: Stats) -> Flow:
    """Packets still under way get a moment; each is known by its number, so that it does not matter when whom was asked."""
    sent = ended.next - marked.next
    patience = time.monotonic() + 0.5
    received = until(
        lambda: receiver.held(ended.ssrc, marked.next, ended.next), lambda seen: seen == sent or time.monotonic() > patience, 5, "packets"
    )
    return Flow(
        sent=sent,
        received=received,
        gap=heard.rtp.gap_since_mark,
        sources=heard.rtp.sources_since_mark,
        reports_sent=ended.reports_sent - marked.reports_sent,
        reports=heard.rtcp.since_mark,
        report_sources=heard.rtcp.sources_since_mark,
    )


@contextmanager
def measured(a: MediaPhone, b: MediaPhone) -> Iterator[Flows]:
    """What is sent while the block runs, and what arrives of it. From a to b is `there`, from b to a `back`."""
    flows = Flows()
    at_a, at_b = a.mark(), b.mark()
    yield flows
    end_a, end_b = a.stats(), b.stats()
    flows.there, flows.back = _flow(at_a, end_a, b, end_b), _flow(at_b, end_b, a, end_a)


def talked(phone: MediaPhone, seconds: float) -> None:
    """Wait until the phone has sent so much from now on."""
    wanted = phone.stats().sent + int(seconds * PACKETS_PER_SECOND)
    until(lambda: phone.stats().sent, lambda sent: sent >= wanted, seconds + 5, f"{phone.name}: {wanted} packets sent")


def flowing(a: MediaPhone, b: MediaPhone, seconds: float = 5) -> None:
    """Wait until both hear each other, from now on."""
    for phone in (a, b):
        phone.mark()
    for phone in (a, b):
        until(lambda phone=phone: phone.stats().rtp, lambda seen: seen.since_mark > 0, seconds, f"RTP at {phone.name}")  # type: ignore[misc]


def media_ok(
    a: MediaPhone, b: MediaPhone, seconds: float = 2.5, *, share: float = 0.99, gap: float = 0.5, through: Collection[str] | None = None
) -> tuple[Flow, Flow]:
    """Both hear each other, and then, over a period, all that is said, RTCP too; with `through`, only from these addresses (of relays)."""
    flowing(a, b)
    with measured(a, b) as flows:
        talked(a, seconds)
    for flow, name in zip(flows.both(), (f"{a.name} to {b.name}", f"{b.name} to {a.name}"), strict=True):
        assert flow.share >= share, f"{name}: {flow}"
        assert flow.gap <= gap, f"{name}: {flow}"
        assert flow.reports > 0, f"{name}: no RTCP: {flow}"
        if through is not None:
            heard = {source.partition(":")[0] for source in flow.sources + flow.report_sources}
            assert heard <= set(through), f"{name}: {flow}"
    return flows.both()


# Whole calls
@contextmanager
def call(lab: Lab, caller: str = "alice", callee: str = "bob", seconds: float = 180) -> Iterator[tuple[MediaPhone, MediaPhone, str]]:
    """A call between two homes that is up and heard on both sides."""
    with (
        MediaPhone(lab, caller, seconds=seconds) as here,
        MediaPhone(lab, callee, "phone2", "home2", seconds=seconds) as there,
    ):
        here.register()
        there.register()
        call_id = connect(here, there)
        flowing(here, there)
        yield here, there, call_id


def ended(here: MediaPhone, there: MediaPhone) -> None:
    """The call ends, as both ends see it."""
    here.bye()
    there.wait("bye", by="them")


# What the relays' own control says
def dispatcher_knows(lab: Lab, proxy: str) -> dict[str, Any]:
    """`summary` and `sessions` of Mediaproxy's dispatcher on a proxy."""
    answer: dict[str, Any] = json.loads(lab.host(proxy).python("dispatcher", lab.address(proxy, "core")))
    return answer


def session(lab: Lab, proxy: str, call_id: str) -> dict[str, Any]:
    """The one session of a call, as a proxy's dispatcher knows it from the relays."""
    found = [row for row in dispatcher_knows(lab, proxy)["sessions"] if row["call_id"] == call_id]
    assert len(found) == 1, found
    return dict(found[0])


def relay_of(lab: Lab, phone: MediaPhone) -> str:
    """Name of the relay that the phone was told last."""
    address = phone.stats().given[-1].address
    return next(name for name in lab.relays if lab.address(name, "public") == address)


def connected(lab: Lab, seconds: float = 30) -> None:
    """Wait until every dispatcher has every relay active."""

    def look() -> dict[str, list[str]]:
        return {name: sorted(relay["status"] for relay in dispatcher_knows(lab, name)["summary"]) for name in lab.proxies}

    wanted = {name: ["active"] * len(lab.relays) for name in lab.proxies}
    until(look, lambda seen: seen == wanted, seconds, "every relay at every dispatcher")
