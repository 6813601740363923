"""What is reachable from where, and what is readable for whom."""

from __future__ import annotations

import json

import pytest
from cluster_lab import Lab
from sip_text import Request


def _open(lab: Lab, source: str, targets: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Which of these accept a TCP connection from there."""
    return [(address, port) for address, port in json.loads(lab.host(source).python("connect", json.dumps(targets)))]


def test_metrics_for_the_core_network_only(lab: Lab) -> None:
    port = int(lab.setting("opensips_metrics_port"))
    core = [lab.address(name, "core") for name in lab.proxies]
    for address in core:
        get = f"import urllib.request as r; print(r.urlopen('http://{address}:{port}/metrics', timeout=3).read().decode())"
        page = lab.host("db1").check(f'python3 -c "{get}"')
        assert sum(line.startswith("opensips_rcv_requests ") for line in page.splitlines()) == 1
    public = [lab.address(name, "public") for name in lab.proxies]
    assert _open(lab, "probe", [(address, port) for address in (*core, *public, lab.vip)]) == []


def test_replication_between_proxies_only(lab: Lab) -> None:
    port = int(lab.setting("opensips_bin_port"))
    for name, other in zip(lab.proxies, reversed(lab.proxies), strict=True):
        target = (lab.address(name, "core"), port)
        assert _open(lab, other, [target]) == [target]
        for stranger in (*lab.databases, "relay1"):
            assert _open(lab, stranger, [target]) == []
        assert _open(lab, "probe", [(lab.address(name, "public"), port), (lab.vip, port)]) == []


def test_sip_on_the_core_address_answers_probes_only(lab: Lab) -> None:
    for name in lab.proxies:
        target = (lab.address(name, "core"), 5060)
        for method, answers in (("OPTIONS", [200]), ("REGISTER", []), ("INVITE", [])):
            source = (lab.address("db1", "core"), lab.port())
            request = Request(method, f"sip:{lab.domain}", f"sip:alice@{lab.domain}", f"sip:alice@{lab.domain}", source)
            replies = lab.send("db1", source, [request.text()], target=target, wait=1)
            assert [reply.status for reply in replies] == answers


def test_database_for_cluster_members_only(lab: Lab) -> None:
    cores = [lab.address(name, "core") for name in lab.databases]
    tls = [(core, 3307) for core in cores]
    for proxy in lab.proxies:
        assert _open(lab, proxy, tls) == tls
    assert _open(lab, "relay1", [(core, port) for core in cores for port in (3306, 3307, 4444, 4567, 4568, 9200)]) == []


@pytest.mark.parametrize(
    ("group", "path"),
    [
        ("proxies", "/etc/opensips/opensips.cfg"),
        ("proxies", "/etc/sipha/pki/host.key"),
        ("proxies", "/etc/haproxy/sipha-host.pem"),
        ("databases", "/etc/mysql/mariadb.conf.d/71-sipha-sst.cnf"),
        ("databases", "/etc/sipha/pki/host.key"),
    ],
)
def test_secrets_are_not_world_readable(lab: Lab, group: str, path: str) -> None:
    for name in getattr(lab, group):
        mode = lab.host(name).check(f"stat --dereference --format=%a {path}").strip()
        assert mode in ("600", "640"), f"{name}: {path} has mode {mode}"


def test_secrets_are_on_no_command_line(lab: Lab) -> None:
    """Nobody who can list processes sees a password."""
    for name in (*lab.proxies, *lab.databases):
        host = lab.host(name)
        hidden = "/etc/mysql/mariadb.conf.d/71-sipha-sst.cnf" if name in lab.databases else "/etc/opensips/opensips.cfg"
        pattern = r"wsrep_sst_auth *= *[^:]*:(\S+)" if name in lab.databases else r"mysql://opensips:([^@]+)@"
        program = f"import re; print(re.search(r'{pattern}', open('{hidden}').read()).group(1))"
        secret = host.check(f'python3 -c "{program}"').strip()
        assert len(secret) >= 16
        assert secret not in host.check("ps -e -w -w -o args")


def test_ca_key_stays_on_the_controller(lab: Lab) -> None:
    for name in (*lab.proxies, *lab.databases):
        assert lab.host(name).check("find /etc/sipha -name 'ca*key*'") == ""
