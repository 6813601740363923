"""Runs sipp scenarios (tests/sipp) on lab hosts, and the phones made of them."""

from __future__ import annotations

import io
import itertools
import re
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cluster_lab import PASSWORD, PROJECT, SIP_PORT, Lab, until
from sip_text import Message

SCENARIOS = PROJECT / "tests/sipp"
PLACE = "/root/sipp"
ENTRY = re.compile(r"^-{40,} [^\n]*\n\w+ message (sent|received) [\[(]\d+[\])]? ?bytes\)? ?:\n\n", re.MULTILINE)
_numbers = itertools.count(1)


def install(lab: Lab, *hosts: str) -> None:
    """Put the scenarios on the hosts that run them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(SCENARIOS.iterdir()):
            archive.add(path, arcname=path.name)
    for name in hosts:
        subprocess.run(
            [
                "docker",
                "exec",
                "-i",
                lab.host(name).container,
                "sh",
                "-c",
                f"rm -f {PLACE}/log/*.errors; mkdir -p {PLACE}/log && tar -x -C {PLACE}",
            ],
            input=packed.getvalue(),
            check=True,
        )


@dataclass
class Trace:
    """What a sipp process sent and received."""

    sent: list[Message] = field(default_factory=list)
    received: list[Message] = field(default_factory=list)

    @classmethod
    def parse(cls, log: str) -> Trace:
        trace = cls()
        parts = ENTRY.split(log)
        for direction, text in zip(parts[1::2], parts[2::2], strict=True):
            (trace.sent if direction == "sent" else trace.received).append(Message(text))
        return trace

    def requests(self, method: str) -> list[Message]:
        return [message for message in self.received if not message.status and message.method == method]

    def statuses(self, method: str) -> list[int]:
        """Final status codes received for a method, in order."""
        return [message.status for message in self.received if message.status >= 200 and message.method == method]


@dataclass
class Result:
    """A finished sipp process."""

    code: int
    trace: Trace
    errors: str

    @property
    def call_id(self) -> str:
        return self.trace.sent[0].call_id

    def final(self, method: str) -> int:
        statuses = self.trace.statuses(method)
        assert statuses, f"no final answer to {method}; sipp exit {self.code}; {self.errors}"
        return statuses[-1]


class Server:
    """A sipp process that waits for calls."""

    def __init__(self, lab: Lab, host: str, name: str, process: subprocess.Popen[str]) -> None:
        self.lab, self.host, self.name, self.process = lab, host, name, process

    @property
    def trace(self) -> Trace:
        return Trace.parse(self.lab.host(self.host).run(f"cat {PLACE}/log/{self.name}.messages")[1])

    @property
    def errors(self) -> str:
        return self.lab.host(self.host).run(f"cat {PLACE}/log/{self.name}.errors 2>/dev/null")[1]

    def wait_for(self, method: str, count: int = 1, seconds: float = 5) -> Trace:
        """The trace, once it has so many requests of a method."""
        return until(
            lambda: self.trace, lambda trace: len(trace.requests(method)) >= count, seconds, f"{method} at {self.host} ({self.errors})"
        )


def _command(name: str, scenario: str, address: str, port: int, seconds: float, options: list[str]) -> str:
    log = f"{PLACE}/log/{name}"
    fixed = f"sipp -sf {PLACE}/{scenario}.xml -i {address} -mi {address} -p {port} -mp {port + 10000} -nostdin -timeout {seconds:g}s"
    traces = f"-trace_msg -message_file {log}.messages -trace_err -error_file {log}.errors"
    return f"echo $$ > {log}.pid; exec {fixed} {traces} {' '.join(shlex.quote(option) for option in options)} > {log}.screen 2>&1"


class Running:
    """A sipp process that was started and ends by itself."""

    def __init__(self, lab: Lab, host: str, name: str, process: subprocess.Popen[str]) -> None:
        self.lab, self.host, self.name, self.process = lab, host, name, process

    def wait_for(self, status: int, seconds: float = 5) -> None:
        """Until it has received such an answer: what its proxy sent may still be on the way."""
        path = f"{PLACE}/log/{self.name}.messages"
        until(
            lambda: [message.status for message in Trace.parse(self.lab.host(self.host).run(f"cat {path}")[1]).received],
            lambda received: status in received,
            seconds,
            f"{status} at {self.host}",
        )

    def finished(self) -> Result:
        code = self.process.wait(90)
        log = self.lab.host(self.host).run(f"cat {PLACE}/log/{self.name}.messages")[1]
        errors = self.lab.host(self.host).run(f"cat {PLACE}/log/{self.name}.errors 2>/dev/null")[1]
        return Result(code, Trace.parse(log), errors)


def start(lab: Lab, host: str, network: str, port: int, scenario: str, *options: str, seconds: float = 20, vip: str = "") -> Running:
    """Start a scenario that starts something, once."""
    name = str(next(_numbers))
    all_options = ["-m", "1", "-timeout_error", *options, f"{vip or lab.vip}:{SIP_PORT}"]
    command = _command(name, scenario, lab.address(host, network), port, seconds, all_options)
    return Running(lab, host, name, lab.host(host).spawn("sh", "-c", command))


def run(lab: Lab, host: str, network: str, port: int, scenario: str, *options: str, seconds: float = 20, vip: str = "") -> Result:
    """Run a scenario that starts something, once, to its end."""
    return start(lab, host, network, port, scenario, *options, seconds=seconds, vip=vip).finished()


def stop(lab: Lab, host: str, name: str) -> None:
    """End a sipp process by its pid file, also one that an aborted run left behind."""
    pid = f"$(cat {PLACE}/log/{name}.pid)"
    lab.host(host).run(f"sh -c 'test \"$(cat /proc/{pid}/comm)\" = sipp && kill -9 {pid}'")


@contextmanager
def serve(
    lab: Lab, host: str, network: str, port: int, scenario: str, *options: str, seconds: float = 60, name: str = ""
) -> Iterator[Server]:
    """A scenario that waits for calls, while the block runs; it never outlives `seconds`."""
    name = name or str(next(_numbers))
    stop(lab, host, name)
    process = lab.host(host).spawn("sh", "-c", _command(name, scenario, lab.address(host, network), port, seconds, list(options)))
    try:
        until(lambda: f":{port} " in lab.host(host).check("ss -H -l -u -n"), None, 5, f"sipp on port {port} of {host}")
        yield Server(lab, host, name, process)
    finally:
        stop(lab, host, name)
        process.wait(10)


@dataclass
class Phone:
    """A phone behind the home router: a user and a local port, so a NAT mapping of its own."""

    lab: Lab
    user: str
    port: int
    password: str = PASSWORD
    domain: str = ""
    host: str = "phone"
    network: str = "home"
    vip: str = ""  # the one it uses, where the cluster has several
    cseq: int = 1
    call_id: str = ""

    def __post_init__(self) -> None:
        self.domain = self.domain or self.lab.domain
        self.call_id = self.call_id or f"reg-{self.port}-{next(_numbers)}@phone"

    @property
    def uri(self) -> str:
        return f"sip:{self.user}@{self.lab.address(self.host, self.network)}:{self.port}"

    def _who(self) -> list[str]:
        return ["-s", self.user, "-au", self.user, "-ap", self.password, "-key", "domain", self.domain]

    def register(self, expires: int = 300, contact: str | None = None, auth_user: str = "", seconds: float = 20) -> Result:
        """REGISTER; each one goes on with the same Call-ID and higher numbers."""
        line = f"Contact: <{self.uri}>;expires={expires}" if contact is None else contact
        options = [*self._who(), "-key", "contact", line, "-cid_str", self.call_id, "-base_cseq", str(self.cseq)]
        if auth_user:
            options[options.index("-au") + 1] = auth_user
        self.cseq += 2
        return run(self.lab, self.host, self.network, self.port, "register", *options, seconds=seconds, vip=self.vip)

    def start_call(self, callee: str, scenario: str = "call", hold: float = 1.0, seconds: float = 20, transport: str = "u1") -> Running:
        options = [*self._who(), "-key", "callee", callee, "-d", str(int(hold * 1000)), "-t", transport]
        return start(self.lab, self.host, self.network, self.port, scenario, *options, seconds=seconds, vip=self.vip)

    def call(self, callee: str, scenario: str = "call", hold: float = 1.0, seconds: float = 20, transport: str = "u1") -> Result:
        return self.start_call(callee, scenario, hold, seconds, transport).finished()

    @contextmanager
    def waits(self, scenario: str = "answer", hold: float = 1.0, seconds: float = 60) -> Iterator[Server]:
        """Registered, and ready for calls as the scenario says."""
        assert self.register().final("REGISTER") == 200
        with self.listens(scenario, hold, seconds) as server:
            yield server

    @contextmanager
    def listens(self, scenario: str = "answer", hold: float = 1.0, seconds: float = 60) -> Iterator[Server]:
        options = ["-s", self.user, "-d", str(int(hold * 1000))]
        with serve(self.lab, self.host, self.network, self.port, scenario, *options, seconds=seconds) as server:
            yield server


def trunk_call(
    lab: Lab, host: str, callee: str, scenario: str = "trunk_call", *, from_domain: str = "carrier.example.net", hold: float = 1.0
) -> Result:
    """A call without credentials from a host on the public network."""
    options = ["-s", "+4989777", "-key", "from_domain", from_domain, "-key", "domain", lab.domain, "-key", "callee", callee]
    return run(lab, host, "public", lab.port(), scenario, *options, "-d", str(int(hold * 1000)))
