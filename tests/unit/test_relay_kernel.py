"""What role media_relay reads in a host's own packet filters. The rules are as nft 1.0.6 and iptables-save 1.8.9 print them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "roles/media_relay/files/relay-kernel"
STATE, STATUS = {"ct": {"key": "state"}}, {"ct": {"key": "status"}}
PROTOCOL, INTERFACE = {"meta": {"key": "l4proto"}}, {"meta": {"key": "iifname"}}
PORT = {"payload": {"protocol": "udp", "field": "dport"}}
ACCEPT, DROP, COUNTER = {"accept": None}, {"drop": None}, {"counter": {"packets": 0, "bytes": 0}}


@pytest.fixture(scope="module")
def kernel() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("relay_kernel", str(SCRIPT))
    spec = importlib.util.spec_from_loader("relay_kernel", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def match(left: dict[str, Any], right: object, op: str = "in") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def chain(policy: str, family: str = "inet", hook: str = "forward") -> dict[str, Any]:
    return {
        "chain": {"family": family, "table": "mine", "name": hook, "handle": 1, "type": "filter", "hook": hook, "prio": 0, "policy": policy}
    }


def rule(*expressions: dict[str, Any], name: str = "forward", family: str = "inet") -> dict[str, Any]:
    return {"rule": {"family": family, "table": "mine", "chain": name, "handle": 2, "expr": list(expressions)}}


VERDICTS = {"set": [["invalid", {"drop": None}], ["established", {"accept": None}], ["related", {"accept": None}]]}
PASSES: dict[str, list[dict[str, Any]]] = {
    "ct status dnat accept": [match(STATUS, "dnat"), ACCEPT],
    "ct state established accept": [match(STATE, "established"), ACCEPT],
    "ct state established,related counter accept": [match(STATE, ["established", "related"]), COUNTER, ACCEPT],
    "ct state { established, related } accept": [match(STATE, {"set": ["established", "related"]}, "=="), ACCEPT],
    "meta l4proto udp ct state established log accept": [match(PROTOCOL, "udp", "=="), match(STATE, "established"), {"log": None}, ACCEPT],
    "ct state vmap": [{"vmap": {"key": STATE, "data": VERDICTS}}],
    "accept": [ACCEPT],
}
DROPS: dict[str, list[dict[str, Any]]] = {
    "ct state established drop": [match(STATE, "established"), DROP],
    "ct state != established accept": [match(STATE, "established", "!="), ACCEPT],
    "ct state new accept": [match(STATE, "new"), ACCEPT],
    "ct status snat accept": [match(STATUS, "snat"), ACCEPT],
    "iifname docker0 ct state established accept": [match(INTERFACE, "docker0", "=="), match(STATE, "established"), ACCEPT],
    "meta l4proto tcp ct state established accept": [match(PROTOCOL, "tcp", "=="), match(STATE, "established"), ACCEPT],
    "udp dport 40000-50000 accept": [match(PORT, {"range": [40000, 50000]}, "=="), ACCEPT],
    "ct state vmap with a drop": [{"vmap": {"key": STATE, "data": {"set": [["established", {"drop": None}]]}}}],
    "iptables' own": [{"xt": {"type": "match", "name": "conntrack"}}, ACCEPT],
}


def test_a_chain_that_drops_everything_is_named(kernel: ModuleType) -> None:
    assert kernel.closed_chains([chain("drop")]) == ["inet mine forward"]
    assert kernel.closed_chains([chain("drop", family="ip")]) == ["ip mine forward"]
    assert kernel.closed_chains([]) == []


@pytest.mark.parametrize("name", PASSES)
def test_a_rule_for_tracked_connections_opens_it(kernel: ModuleType, name: str) -> None:
    assert kernel.closed_chains([chain("drop"), rule(*PASSES[name])]) == []


@pytest.mark.parametrize("name", DROPS)
def test_a_rule_for_something_else_does_not(kernel: ModuleType, name: str) -> None:
    assert kernel.closed_chains([chain("drop"), rule(*DROPS[name])]) == ["inet mine forward"]


@pytest.mark.parametrize(
    "harmless", [chain("accept"), chain("drop", hook="input"), chain("drop", family="ip6")], ids=["policy", "hook", "family"]
)
def test_other_chains_do_not_stop_media(kernel: ModuleType, harmless: dict[str, Any]) -> None:
    assert kernel.closed_chains([harmless]) == []


def test_a_rule_counts_in_its_own_table_only(kernel: ModuleType) -> None:
    assert kernel.closed_chains([chain("drop"), rule(*PASSES["accept"], family="ip")]) == ["inet mine forward"]


def test_a_chain_that_is_jumped_to_counts(kernel: ModuleType) -> None:
    jump = rule({"jump": {"target": "mine"}})
    opened = rule(*PASSES["ct status dnat accept"], name="mine")
    assert kernel.closed_chains([chain("drop"), jump, opened]) == []
    assert kernel.closed_chains([chain("drop"), jump]) == ["inet mine forward"]
    assert kernel.closed_chains([chain("drop"), opened]) == ["inet mine forward"]
    some = rule(match(INTERFACE, "eth0", "=="), {"jump": {"target": "mine"}})
    assert kernel.closed_chains([chain("drop"), some, opened]) == ["inet mine forward"]


def saved(*rules: str, policy: str = "DROP") -> str:
    return "\n".join(["*filter", ":INPUT ACCEPT [0:0]", f":FORWARD {policy} [0:0]", ":OUTPUT ACCEPT [0:0]", *rules, "COMMIT", ""])


UFW = (
    "-A FORWARD -j ufw-before-forward",
    "-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A ufw-before-forward -p icmp -m icmp --icmp-type 3 -j ACCEPT",
)
DOCKER = (
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
    "-A DOCKER-USER -j RETURN",
)


@pytest.mark.parametrize(
    ("rules", "closed"),
    [
        ((), True),
        (("-A FORWARD -p udp -m conntrack --ctstate DNAT -j ACCEPT",), False),
        (("-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT",), False),
        (("-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT",), False),
        (('-A FORWARD -p udp -m comment --comment "media \\"only\\"" -m conntrack --ctstate DNAT -j ACCEPT',), False),
        (("-A FORWARD -j ACCEPT",), False),
        (("-A FORWARD -m conntrack --ctstate ESTABLISHED -j DROP",), True),
        (("-A FORWARD -m conntrack ! --ctstate ESTABLISHED -j ACCEPT",), True),
        (("-A FORWARD -m conntrack --ctstate NEW -j ACCEPT",), True),
        (("-A FORWARD -p tcp -m conntrack --ctstate ESTABLISHED -j ACCEPT",), True),
        (("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",), True),
        (UFW, False),
        (UFW[1:], True),
        (DOCKER, True),
        ((*DOCKER, "-A DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT"), False),
    ],
)
def test_iptables(kernel: ModuleType, rules: tuple[str, ...], closed: bool) -> None:
    assert kernel.closed_iptables(saved(*rules)) is closed


def test_iptables_that_accept_or_are_not_there(kernel: ModuleType) -> None:
    assert kernel.closed_iptables(saved(policy="ACCEPT")) is False
    assert kernel.closed_iptables("") is False


IPTABLES_NFT = [
    {
        "chain": {
            "family": "ip",
            "table": "filter",
            "name": "FORWARD",
            "handle": 1,
            "type": "filter",
            "hook": "forward",
            "prio": 0,
            "policy": "drop",
        }
    },
    {"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 2, "expr": [*DROPS["iptables' own"]]}},
]


@pytest.mark.parametrize(
    ("iptables", "problems"),
    [
        (saved("-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT"), []),
        (saved(*DOCKER), ["chain FORWARD of iptables-nft drops media: iptables-nft -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT"]),
        # a table of that name that is not iptables' own
        (
            "# Table `filter' is incompatible, use 'nft' tool.\n",
            ["nftables chain ip filter FORWARD drops forwarded media: add 'ct status dnat accept' to it"],
        ),
    ],
)
def test_each_chain_is_judged_once(kernel: ModuleType, monkeypatch: pytest.MonkeyPatch, iptables: str, problems: list[str]) -> None:
    """iptables over nftables, Debian's default: nft does not tell the conditions of its rules."""
    said = {"nft": kernel.json.dumps({"nftables": IPTABLES_NFT}), "iptables-nft-save": iptables}
    monkeypatch.setattr(kernel, "run", lambda *command: said[command[0]])
    monkeypatch.setattr(kernel.shutil, "which", lambda name: name if name in said else None)
    monkeypatch.setattr(kernel, "setting", lambda _: "1")
    monkeypatch.setattr(kernel, "tracked", lambda _: True)
    assert kernel.faults("198.18.20.11") == problems


def test_settings_and_tracking_are_named(kernel: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "run", lambda *_: "")
    monkeypatch.setattr(kernel.shutil, "which", lambda _: None)
    monkeypatch.setattr(kernel, "setting", lambda name: "missing" if "conntrack" in name else "0")
    monkeypatch.setattr(kernel, "tracked", lambda _: False)
    first, second, third = kernel.faults("198.18.20.11")
    assert first == "net.ipv4.ip_forward is 0, it must be 1"
    assert second == "net.netfilter.nf_conntrack_acct is missing, it must be 1"
    assert third.startswith("the kernel does not track connections (no rule hooks conntrack in)")


def test_a_datagram_is_tracked_when_conntrack_lists_its_port(kernel: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel.random, "randint", lambda *_: 20001)
    listed = "udp      17 29 src=127.0.0.1 dst=127.0.0.1 sport=40000 dport={} [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 sport=1 dport=2\n"
    monkeypatch.setattr(kernel, "run", lambda *_: listed.format(20001))
    assert kernel.tracked("127.0.0.1") is True
    monkeypatch.setattr(kernel, "run", lambda *_: listed.format(200010))
    assert kernel.tracked("127.0.0.1") is False
