"""The running lab as tests see it: hosts, SQL, who holds the VIP, journals. testinfra stays behind this module."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import testinfra
import yaml
from sip_text import Message, Request, digest

PROJECT = Path(__file__).resolve().parents[3]
REMOTE = Path(__file__).resolve().parent / "remote"
SIP_PORT = 5060
PASSWORD = "lab-phones-only"
T = TypeVar("T")


def until(look: Callable[[], T], wanted: Callable[[T], bool] | None = None, seconds: float = 10, what: str = "") -> T:
    """Look until it is as wanted (by default: true), at most so long; returns what was seen."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if wanted(seen) if wanted else seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"{what or 'the wanted state'} did not come within {seconds:g} s; last seen: {seen!r}")
        time.sleep(0.1)


class Host:
    """One lab host."""

    def __init__(self, name: str) -> None:
        self.name, self.container = name, f"sipha-{name}"

    @cached_property
    def _backend(self) -> Any:
        return testinfra.get_host(f"docker://{self.container}")

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and output (with errors)."""
        done = self._backend.run(command)
        return done.rc, done.stdout + done.stderr

    def check(self, command: str) -> str:
        """Standard output of a command that must succeed."""
        done = self._backend.run(command)
        assert done.rc == 0, f"{self.name}: {command}: exit {done.rc}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    def kill(self) -> None:
        """As if its power was cut."""
        subprocess.run(["docker", "kill", self.container], check=True, capture_output=True)

    def start(self) -> None:
        """Power it on; nothing happens if it is on."""
        subprocess.run(["docker", "start", self.container], check=True, capture_output=True)

    def interactive(self, *command: str) -> subprocess.Popen[str]:
        """Start a command that is talked to line by line and ends when its input does; its errors come with its output."""
        return subprocess.Popen(
            ["docker", "exec", "-i", self.container, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )

    def spawn(self, *command: str, stdin: bytes = b"") -> subprocess.Popen[str]:
        """Start a command that ends by itself; its errors come with its output."""
        process = self.interactive(*command)
        assert process.stdin
        process.stdin.write(stdin.decode())
        process.stdin.close()
        return process

    def program(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Start one of the programs in remote/ over there."""
        return self.spawn("python3", "-u", "-", *arguments, stdin=(REMOTE / f"{name}.py").read_bytes())

    def python(self, name: str, *arguments: str, seconds: float = 60) -> str:
        process = self.program(name, *arguments)
        assert process.stdout
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        output = process.stdout.read()
        timer.cancel()
        assert process.wait() == 0, f"{self.name}: {name}.py: {output}"
        return output

    def journal(self, since: float, *units: str) -> str:
        which = " ".join(f"--unit={unit}" for unit in units)
        return self.run(f"journalctl --no-pager --output=short-precise --since=@{since:.3f} {which}")[1]


@dataclass
class Capture:
    """SIP datagrams seen on one interface of a host, from now on."""

    host: str
    seconds: float
    process: subprocess.Popen[str]
    seen: list[dict[str, Any]] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)
    began: float = 0.0  # seconds since the epoch, as the time of each entry; it ends `seconds` later

    def follow(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            entry = json.loads(line) if line.startswith("{") else {"error": line}
            if "ready" in entry:
                self.began = time.time()
                self.ready.set()
            elif "text" in entry:
                self.seen.append(entry)

    def requests(self, method: str, **where: Any) -> list[dict[str, Any]]:
        return [
            entry
            for entry in list(self.seen)
            if entry["text"].startswith(f"{method} ") and all(entry[name] == value for name, value in where.items())
        ]


class Lab:
    """All of it. Addresses come from the inventory, as everything else in this project takes them from there."""

    def __init__(self) -> None:
        inventory = os.environ.get("SIPHA_INVENTORY", str(PROJECT / "inventories/lab/hosts.yml"))
        listed = subprocess.run(
            ["ansible-inventory", "--inventory", inventory, "--list"],
            check=True,
            capture_output=True,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "PATH": f"{PROJECT}/.venv/bin:{os.environ['PATH']}"},
        )
        data = json.loads(listed.stdout)
        self.vars: dict[str, dict[str, Any]] = data["_meta"]["hostvars"]
        self.proxies: list[str] = sorted(data["proxies"]["hosts"])
        self.databases: list[str] = sorted(data["databases"]["hosts"])
        self.relays: list[str] = sorted(data["relays"]["hosts"])
        some = self.vars[self.proxies[0]]
        self.domain: str = some["sipha_domain"]
        self.vip: str = some["sipha_vips"][0]["address"].partition("/")[0]
        self._hosts: dict[str, Host] = {}
        self._database = ""
        self._port = 10000 + int(time.time()) * 8 % 8000

    def setting(self, name: str) -> Any:
        """Value of a role variable: the inventory's, else the role's default."""
        some = self.vars[self.proxies[0]]
        if name in some:
            return some[name]
        role = next(role for role in (PROJECT / "roles").iterdir() if name.startswith(role.name + "_"))
        return yaml.safe_load((role / "defaults/main.yml").read_text())[name]

    def host(self, name: str) -> Host:
        return self._hosts.setdefault(name, Host(name))

    def address(self, name: str, network: str) -> str:
        """Address of a host on one of the lab's networks: public, core, home, home2."""
        variables = self.vars[name]
        found = variables.get(f"sipha_{network}_address") or variables.get("lab_addresses", {}).get(network)
        assert found, f"{name} has no address on the {network} network"
        return str(found).partition("/")[0]

    def port(self) -> int:
        """A local port that no other test uses, so that it gets a mapping of its own in the router; sipp takes four more for media."""
        self._port += 4
        return self._port

    def interface(self, name: str, network: str) -> str:
        rows = json.loads(self.host(name).check(f"ip -4 -j address show to {self.address(name, network)}"))
        return next(row["ifname"] for row in rows if row)

    def media_relay(self) -> str:
        """The relay that the proxies use."""
        kind: str = json.loads(self.host(self.proxies[0]).check("cat /etc/sipha/agent.json"))["media_kind"]
        return kind

    # Who holds the VIP: asked at the public interface only, a proxy may carry it elsewhere too
    def holders(self, vip: str = "") -> list[str]:
        """Of the first VIP, or of another one."""
        found = []
        for name in self.proxies:
            code, out = self.host(name).run(f"ip -4 -j address show dev {self._public[name]}")
            if code == 0 and any(a.get("local") == (vip or self.vip) for row in json.loads(out) for a in row.get("addr_info", [])):
                found.append(name)
        return found

    @cached_property
    def _public(self) -> dict[str, str]:
        return {name: self.interface(name, "public") for name in self.proxies}

    def holder(self) -> str:
        """The one holder of the VIP."""
        return until(self.holders, lambda found: len(found) == 1, 10, "exactly one holder of the VIP")[0]

    def standby(self) -> str:
        holder = self.holder()
        return next(name for name in self.proxies if name != holder)

    def settled(self, seconds: float = 30) -> str:
        """Wait until one proxy holds the VIP and both can serve, by sipha-health; returns the holder."""

        def look() -> tuple[list[str], dict[str, str]]:
            return self.holders(), {
                name: out for name in self.proxies for code, out in [self.host(name).run("/usr/sbin/sipha-health")] if code != 0
            }

        holders, _ = until(look, lambda seen: len(seen[0]) == 1 and not seen[1], seconds, "one holder, and health of both proxies")
        return holders[0]

    def mi(self, name: str, command: str, *parameters: Any) -> Any:
        request: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": command}
        if parameters:
            request["params"] = list(parameters)
        answer = json.loads(self.host(name).python("mi", json.dumps(request)))
        assert "error" not in answer, f"{name}: {command}: {answer}"
        return answer["result"]

    def tag_states(self) -> dict[str, str]:
        """State of the sharing tag that follows the VIP, on each proxy; "away" where the engine does not answer."""
        request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "clusterer_list_shtags"})
        states = {}
        for name in self.proxies:
            process = self.host(name).program("mi", request)
            assert process.stdout
            output = process.stdout.read()
            rows = json.loads(output)["result"] if process.wait() == 0 else []
            states[name] = next((str(row["State"]) for row in rows if row["Tag"] == "main"), "away")
        return states

    # SQL
    def _sql_on(self, name: str, statement: str) -> tuple[int, str]:
        encoded = base64.b64encode(statement.encode()).decode()
        client = "timeout 20 mariadb --batch --connect-timeout=2 opensips"
        return self.host(name).run(f"sh -c 'echo {encoded} | base64 -d | {client}'")

    def node_state(self, name: str) -> str:
        """Synced, Joined ... or "away"."""
        code, out = self.host(name).run(
            "timeout 2 mariadb --skip-column-names --batch --connect-timeout=1 --execute \"SHOW STATUS LIKE 'wsrep_%'\""
        )
        if code != 0:
            return "away"
        values = dict(line.split("\t", 1) for line in out.splitlines() if "\t" in line)
        return values["wsrep_local_state_comment"] if values.get("wsrep_cluster_status") == "Primary" else "not Primary"

    def node_states(self) -> dict[str, str]:
        return {name: self.node_state(name) for name in self.databases}

    def all_synced(self, seconds: float = 90) -> None:
        until(self.node_states, lambda seen: set(seen.values()) == {"Synced"}, seconds, "all database nodes Synced")

    def database(self) -> str:
        """A database host that is well, whichever it is."""
        if not self._database or self.node_state(self._database) != "Synced":
            self._database = next((name for name in self.databases if self.node_state(name) == "Synced"), "")
        assert self._database, f"no database node is well: {self.node_states()}"
        return self._database

    def sql(self, statement: str, *values: str) -> list[dict[str, str]]:
        """Rows of a statement (values in place of each ?), causally after everything that any node committed before."""
        for value in values:
            statement = statement.replace("?", "'" + value.replace("\\", "\\\\").replace("'", "''") + "'", 1)
        name = self.database()
        code, out = self._sql_on(name, f"SET SESSION wsrep_sync_wait=7;\n{statement}")
        assert code == 0, f"{name}: {statement}: {out}"
        lines = out.splitlines()
        return [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]] if lines else []

    def location(self, user: str) -> list[dict[str, str]]:
        return self.sql("SELECT * FROM location WHERE username=? ORDER BY contact_id", user)

    def cdrs(self, call_id: str) -> list[dict[str, str]]:
        return self.sql("SELECT * FROM acc WHERE callid=?", call_id)

    def one_cdr(self, call_id: str, code: int) -> dict[str, str]:
        """The one accounting row of a call; it is written a moment after the call ends."""
        until(lambda: self.cdrs(call_id), None, 5, f"an accounting row of {call_id}")
        rows = self.cdrs(call_id)
        assert len(rows) == 1, rows
        assert rows[0]["sip_code"] == str(code), rows
        return rows[0]

    @contextmanager
    def trigger(self, body: str, when: str = "BEFORE INSERT") -> Iterator[None]:
        """The table of registrations does something else for a while."""
        self.sql("DROP TRIGGER IF EXISTS lab_trigger")
        self.sql(f"CREATE TRIGGER lab_trigger {when} ON location FOR EACH ROW {body}")
        try:
            yield
        finally:
            self.sql("DROP TRIGGER IF EXISTS lab_trigger")

    # SIP by hand
    def send(
        self,
        name: str,
        source: tuple[str, int],
        datagrams: list[str],
        *,
        target: tuple[str, int] | None = None,
        until_replies: int = 1,
        wait: float = 3,
        gap: float = 0,
        times: int = 1,
    ) -> list[Message]:
        """Send datagrams from a host, all of them so many times; returns what comes back until there are so many replies (0: listen to the
        end of `wait`)."""
        job = {
            "source": list(source),
            "target": list(target or (self.vip, SIP_PORT)),
            "datagrams": [base64.b64encode(text.encode()).decode() for text in datagrams],
            "until": until_replies,
            "wait": wait,
            "gap": gap,
            "times": times,
        }
        replies = json.loads(self.host(name).python("udp", json.dumps(job)))
        return [Message(reply["text"]) for reply in replies]

    def authorized(self, request: Request, host: str, user: str, password: str = PASSWORD) -> str:
        """Send the request without credentials, take the challenge, return the request with credentials."""
        replies = self.send(host, request.source, [request.text()])
        assert [reply.status for reply in replies] == [401 if request.method == "REGISTER" else 407], replies
        request.cseq += 1
        return request.text(digest(replies[0], request.method, request.uri, user, password))

    @contextmanager
    def capture(self, name: str, network: str, seconds: float) -> Iterator[Capture]:
        """What one interface of a host sees of SIP; ends by itself after so many seconds."""
        process = self.host(name).program("sniff", self.interface(name, network), str(seconds))
        capture = Capture(name, seconds, process)
        thread = threading.Thread(target=capture.follow, daemon=True)
        thread.start()
        assert capture.ready.wait(5), f"{name}: the capture did not start"
        try:
            yield capture
        finally:
            process.kill()
            thread.join(5)
