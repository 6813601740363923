"""Load on the cluster while something is done to it: calls that ring, talk, are re-negotiated and end; phones that register again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cluster_lab import PASSWORD, Lab, until
from sipp_runner import PLACE, Phone, Running, start

PHONES = 200
RINGS, TALKS = 2.0, 7000  # seconds; milliseconds before and after the re-INVITE
USERS = "load%03d"


@dataclass
class Load:
    """What was asked of the cluster, and after the block what came of it."""

    lab: Lab
    calls: int
    caller: Running
    registrations: Running
    registered: int
    result: dict[str, object] = field(default_factory=dict)

    def still_on(self) -> bool:
        return self.caller.process.poll() is None

    def judge(self) -> None:
        """Wait for the end; then compare what sipp saw with the tables."""
        calls = self.caller.finished()
        made = {message.call_id for message in calls.trace.sent}
        good = {message.call_id for message in calls.trace.received if message.status == 200 and message.method == "BYE"}
        (own,) = {call.partition("-")[2] for call in made}  # sipp's call ids: number-process@address

        def cdrs() -> list[str]:
            return sorted(
                row["callid"] for row in self.lab.sql("SELECT callid FROM acc WHERE sip_code='200' AND callid LIKE ?", f"%-{own}")
            )

        until(cdrs, lambda rows: len(rows) >= len(good), 10, f"{len(good)} CDRs")
        registrations = self.registrations.finished()
        rows = self.lab.sql("SELECT username FROM location WHERE username LIKE 'load%' AND expires > UNIX_TIMESTAMP()")
        self.result = {
            "sipp": (calls.code, registrations.code),
            "calls": (len(made), len(good)),
            "cdrs": cdrs() == sorted(good),
            "refused": sorted(set(calls.trace.statuses("INVITE")) - {200}),
            "registrations": len({m.call_id for m in registrations.trace.received if m.status == 200 and m.method == "REGISTER"}),
            "phones": sorted(row["username"] for row in rows) == [USERS % number for number in range(1, PHONES + 1)],
        }

    @property
    def expected(self) -> dict[str, object]:
        """The same when nothing was lost."""
        return {
            "sipp": (0, 0),
            "calls": (self.calls, self.calls),
            "cdrs": True,
            "refused": [],
            "registrations": self.registered,
            "phones": True,
        }


def subscribers(lab: Lab) -> None:
    hashed = f"CONCAT(u, ':{lab.domain}:{PASSWORD}')"
    names = f"(SELECT CONCAT('load', LPAD(seq, 3, '0')) AS u FROM seq_1_to_{PHONES}) AS names"  # noqa: S608
    values = f"u, '{lab.domain}', '', MD5({hashed}), SHA2({hashed}, 256)"
    columns = "username, domain, password, ha1, ha1_sha256"
    lab.sql(f"INSERT IGNORE INTO subscriber ({columns}) SELECT {values} FROM {names}")  # noqa: S608 (constants of this file)


@contextmanager
def load(lab: Lab, bob: Phone, seconds: int, rate: int = 20, registers: int = 6) -> Iterator[Load]:
    """So many calls and registrations a second, for so long; about rate x 16 calls are up at a time. One address, so mind pike's limit."""
    subscribers(lab)
    lines = [f"{USERS % n};[authentication username={USERS % n} password={PASSWORD}]" for n in range(1, PHONES + 1)]
    assert (
        lab.host("phone").spawn("sh", "-c", f"cat > {PLACE}/load.csv", stdin="\n".join(["SEQUENTIAL", *lines, ""]).encode()).wait(10) == 0
    )
    calls, registered = rate * seconds, registers * seconds
    options = ["-s", "+4989777", "-key", "from_domain", "carrier.example.net", "-key", "domain", lab.domain, "-key", "callee", bob.user]
    options += ["-m", str(calls), "-r", str(rate), "-d", str(TALKS)]
    many = ["-inf", f"{PLACE}/load.csv", "-key", "domain", lab.domain, "-m", str(registered), "-r", str(registers)]
    with bob.waits("answer_late", hold=RINGS, seconds=seconds + 60) as at_bob:
        port = lab.port()
        running = Load(
            lab,
            calls,
            start(lab, "probe", "public", lab.port(), "trunk_call_reinvite", *options, seconds=seconds + 50),
            start(lab, "phone", "home", port, "register_many", *many, seconds=seconds + 50),
            registered,
        )
        at_bob.wait_for("BYE", 1, 40)  # from here on there are calls in every state
        yield running
        running.judge()
