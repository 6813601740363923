"""A relay is taken out and put back without losing a call, and what its kernel lacks is found before a call is cut."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from cluster_lab import Host, Lab, until
from media_lab import MediaPhone, connect, connected, dispatcher_knows, flowing, measured, relay_of, talked
from sipp_runner import Phone, trunk_call
from test_60_site import ROOT, playbook

pytestmark = pytest.mark.usefixtures("mediaproxy")
CONFIG = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}


class Background:
    """A playbook that runs while the test does something else."""

    def __init__(self, *arguments: str) -> None:
        self.result = (-1, "")
        self._thread = threading.Thread(target=self._run, args=arguments)
        self._thread.start()

    def _run(self, *arguments: str) -> None:
        self.result = playbook(arguments[0], ROOT, *arguments[1:], **CONFIG)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def finished(self) -> tuple[int, str]:
        self._thread.join(300)
        assert not self.running
        return self.result


def test_drain_loses_no_call(lab: Lab, carol: Phone, healed: None) -> None:
    """Calls on both relays, one relay is drained: theirs go on, new ones go to the other, and it comes back when its last call ended."""
    connected(lab)
    users = [("alice", "bob"), ("dave", "erin")]
    with ExitStack() as stack:
        calls = []
        for here, there in users:
            caller = stack.enter_context(MediaPhone(lab, here))
            callee = stack.enter_context(MediaPhone(lab, there, "phone2", "home2"))
            caller.register()
            callee.register()
            call_id = connect(caller, callee)
            flowing(caller, callee)
            calls.append((caller, callee, call_id))
        drained = relay_of(lab, calls[0][0])
        other = next(name for name in lab.relays if name != drained)
        at_host = stack.enter_context(carol.waits(seconds=120))
        with measured(calls[0][0], calls[0][1]) as first, measured(calls[1][0], calls[1][1]) as second:
            drain = Background("playbooks/relay_drain.yml", "--limit", drained)
            until(lambda: halting(lab, drained), None, 60, f"{drained} taking no new calls")
            results = [trunk_call(lab, "probe", "carol", hold=0.3) for _ in range(8)]
            talked(calls[0][0], 2)
        assert drain.running
        for flow in (*first.both(), *second.both()):
            assert (flow.share >= 0.99, flow.gap < 0.5) == (True, True), flow
        assert [result.trace.statuses("INVITE") for result in results] == [[200]] * 8
        assert {message.media_address for message in at_host.trace.requests("INVITE")} == {lab.address(other, "public")}
        # Inside its calls a relay that drains still serves.
        calls[0][0].hold()
        calls[0][1].wait("reinvited", by="them")
        calls[0][0].resume()
        calls[0][1].wait("reinvited", by="them")
        assert relay_of(lab, calls[0][0]) == drained
        for caller, callee, _ in calls:
            caller.bye()
            callee.wait("bye", by="them")
        code, output = drain.finished()
    assert code == 0, output[-3000:]
    connected(lab, 5)
    assert [lab.one_cdr(call_id, 200)["sip_code"] for _, _, call_id in calls] == ["200"] * len(calls)


def halting(lab: Lab, relay: str) -> bool:
    """Does every dispatcher see that the relay takes no new calls?"""
    address = lab.address(relay, "public")
    seen = [row["status"] for name in lab.proxies for row in dispatcher_knows(lab, name)["summary"] if row["ip"] == address]
    return seen == ["halting"] * len(lab.proxies)


def test_the_last_relay_is_not_drained(lab: Lab, healed: None) -> None:
    last, gone = lab.relays
    lab.host(gone).check("systemctl stop mediaproxy-relay")
    code, output = playbook("playbooks/relay_drain.yml", ROOT, "--limit", last, **CONFIG)
    assert code != 0
    assert f"{last} is not drained: without it not every dispatcher has an active relay left" in " ".join(output.split())
    assert lab.host(last).check("systemctl is-active mediaproxy-relay") == "active\n"


@pytest.fixture
def unhooked(lab: Lab) -> Iterator[str]:
    """A relay where no rule makes the kernel track connections. In containers Docker's rules for its name server do that by accident."""
    host = lab.host(lab.relays[0])
    host.check("iptables-save -t nat > /root/iptables")
    host.check("nft delete table ip nat")
    host.check("nft flush chain inet sipha input; nft flush chain inet sipha forward")
    yield host.name
    host.check("iptables-restore < /root/iptables")
    host.check("systemctl restart sipha-firewall")


def test_missing_conntrack_hook_is_found(lab: Lab, unhooked: str, healed: None) -> None:
    code, output = playbook("playbooks/check.yml", ROOT, "--limit", unhooked, **CONFIG)
    text = " ".join(output.split())
    assert code != 0
    assert f"Media relay {unhooked} would lose calls: the kernel does not track connections" in text, output[-3000:]


def test_the_check_passes_again(lab: Lab) -> None:
    """The negative control of the test above, and a forward chain of the user's own that would drop media."""
    relay = lab.relays[0]
    assert playbook("playbooks/check.yml", ROOT, "--limit", relay, **CONFIG)[0] == 0
    host = lab.host(relay)
    host.check("nft add table ip mine; nft 'add chain ip mine f { type filter hook forward priority 0; policy drop; }'")
    try:
        code, output = playbook("playbooks/check.yml", ROOT, "--limit", relay, **CONFIG)
        assert code != 0
        assert "nftables chain ip mine f drops forwarded media" in " ".join(output.split())
    finally:
        host.check("nft delete table ip mine")


def test_upgrades_wait_for_a_drain(lab: Lab) -> None:
    """An unattended upgrade would stop the daemons and start none: the packages are held where a daemon of theirs runs."""
    for names, part in ((lab.relays, "relay"), (lab.proxies, "dispatcher")):
        for name in names:
            held = set(lab.host(name).check("apt-mark showhold").split())
            assert held == {"mediaproxy-common", f"mediaproxy-{part}", "python3-application", "python3-gnutls"}


@pytest.fixture
def tls(lab: Lab) -> Iterator[Host]:
    """A relay whose certificates may be spoilt; the running daemon has read the good ones."""
    host = lab.host(lab.relays[1])
    host.check("cp -a /etc/sipha/media-relay/tls /root/tls")
    yield host
    host.check("rm -rf /etc/sipha/media-relay/tls")
    host.check("mv /root/tls /etc/sipha/media-relay/tls")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("rm crl.pem", "its CRL (crl.pem) is missing"),
        (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -out ca.pem -days 9 -subj /CN=other",
            "its CA is not the one on the controller",
        ),
    ],
    ids=["no-crl", "another-ca"],
)
def test_bad_certificates_are_found_before_the_daemon_reads_them(lab: Lab, tls: Host, spoil: str, message: str) -> None:
    tls.check(f"sh -c 'cd /etc/sipha/media-relay/tls && {spoil}'")
    code, output = playbook("playbooks/check.yml", ROOT, "--limit", tls.name, **CONFIG)
    assert code != 0
    assert f"The certificate of {tls.name} in /etc/sipha/media-relay/tls is not good: {message}. Run playbooks/site.yml." in " ".join(
        output.split()
    )
