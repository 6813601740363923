"""Bad input gets one clear error before any host is touched: site.yml itself runs, on inventories whose hosts can't be reached at all."""

from __future__ import annotations

import copy
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {
    "sipha_secret_db_engine": "e" * 24,
    "sipha_secret_db_sst": "s" * 24,
    "sipha_secret_auth_nonce": "n" * 32,
    "sipha_secret_ca_passphrase": "c" * 24,
}
GOOD: dict[str, Any] = {
    "all": {
        "vars": {
            **SECRETS,
            # Whoever connects fails: a run that gets past the inventory is "unreachable", not "failed".
            "ansible_connection": "community.docker.docker",
            "ansible_host": "sipha-no-such-container",
            "sipha_domain": "sip.example.org",
            "sipha_vips": [{"name": "main", "address": "198.18.10.10/24", "router_id": 51, "preferred": ["sip1", "sip2"]}],
        },
        "children": {
            "proxies": {
                "hosts": {
                    "sip1": {"sipha_public_address": "198.18.10.11/24", "sipha_core_address": "198.18.20.11/24"},
                    "sip2": {"sipha_public_address": "198.18.10.12/24", "sipha_core_address": "198.18.20.12/24"},
                }
            },
            "relays": {
                "hosts": {
                    f"relay{i}": {"sipha_public_address": f"198.18.10.3{i}/24", "sipha_core_address": f"198.18.20.3{i}/24"} for i in (1, 2)
                }
            },
            "databases": {"hosts": {f"db{i}": {"sipha_core_address": f"198.18.20.2{i}/24"} for i in (1, 2, 3)}},
        },
    }
}
Change = Callable[[dict[str, Any]], object]


def site(tmp_path: Path, change: Change) -> tuple[int, str]:
    inventory = copy.deepcopy(GOOD)
    change(inventory["all"])
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(inventory))
    done = subprocess.run(
        ["ansible-playbook", "-i", str(path), "playbooks/site.yml"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "COLUMNS": "10000"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def proxies(inventory: dict[str, Any]) -> dict[str, Any]:
    return inventory["children"]["proxies"]["hosts"]  # type: ignore[no-any-return]


def relays(inventory: dict[str, Any]) -> dict[str, Any]:
    return inventory["children"]["relays"]["hosts"]  # type: ignore[no-any-return]


def on_the_internet(inventory: dict[str, Any], **relay2: str) -> None:
    """Everybody's public address is one of the Internet, but relay2's."""
    inventory["vars"]["sipha_vips"][0].update(address="9.9.9.10/24")
    for number, host in enumerate((*proxies(inventory).values(), relays(inventory)["relay1"])):
        host.update(sipha_public_address=f"9.9.9.1{number + 1}/24")
    relays(inventory)["relay2"].update(relay2)


BAD: dict[str, tuple[Change, str]] = {
    "no proxies": (lambda i: i["children"].pop("proxies"), "INV001 group proxies: it is missing or empty"),
    "no databases": (lambda i: i["children"].pop("databases"), "INV001 group databases: it is missing or empty"),
    "one proxy": (lambda i: proxies(i).pop("sip2"), "INV007 group proxies: it has one host"),
    "proxy without public address": (
        lambda i: proxies(i)["sip2"].pop("sipha_public_address"),
        "INV002 sipha_public_address on sip2: it is missing",
    ),
    "database without core address": (
        lambda i: i["children"]["databases"]["hosts"]["db3"].pop("sipha_core_address"),
        "INV002 sipha_core_address on db3: it is missing",
    ),
    "address without prefix": (
        lambda i: proxies(i)["sip1"].update(sipha_core_address="198.18.20.11"),
        "INV003 sipha_core_address on sip1: '198.18.20.11' is not an IPv4 address with its prefix length",
    ),
    "VIP outside": (
        lambda i: i["vars"]["sipha_vips"][0].update(address="198.18.11.10/24"),
        "VIP002 sipha_vips: VIP main 198.18.11.10/24 is not in the proxies' public network 198.18.10.0/24",
    ),
    "VIP is a host": (
        lambda i: i["vars"]["sipha_vips"][0].update(address="198.18.10.12/24"),
        "VIP003 sipha_vips: VIP main 198.18.10.12 is the own address of sip2",
    ),
    "router id": (lambda i: i["vars"]["sipha_vips"][0].update(router_id=256), "VIP001 sipha_vips: VIP main has the router_id '256'"),
    "no VIP": (lambda i: i["vars"].pop("sipha_vips"), "VIP001 sipha_vips: it is missing"),
    "unknown version": (
        lambda i: i["vars"].update(sipha_opensips_version="2.4"),
        "INV005 sipha_opensips_version: '2.4' is not known here. Set it to one of: 3.4, 3.6, 4.0",
    ),
    "unknown option": (lambda i: i["vars"].update(sipha_database="oracle"), "INV005 sipha_database: 'oracle' is not known here"),
    "misspelt cluster variable": (
        lambda i: i["vars"].update(sipha_domian="x"),
        "INV004 sipha_domian: nothing reads this variable. Did you mean sipha_domain",
    ),
    "misspelt role variable": (
        lambda i: proxies(i)["sip1"].update(opensips_udp_worker=4),
        "INV004 opensips_udp_worker on sip1: nothing reads this variable. Did you mean opensips_udp_workers",
    ),
    "secret missing": (
        lambda i: i["vars"].pop("sipha_secret_db_sst"),
        "SEC001 sipha_secret_db_sst: it is missing. Run playbooks/",
    ),
    "nonce secret of wrong length": (
        lambda i: i["vars"].update(sipha_secret_auth_nonce="n" * 31),
        "SEC002 sipha_secret_auth_nonce: it has 31 characters",
    ),
    "even quorum": (lambda i: i["children"]["databases"]["hosts"].pop("db3"), "DB001 group databases: 2 databases and 0 arbitrators"),
    "address twice": (
        lambda i: proxies(i)["sip2"].update(sipha_core_address="198.18.20.11/24"),
        "NET001 sipha_core_address on sip2: 198.18.20.11 already belongs to sip1",
    ),
    "no relays": (lambda i: i["children"].pop("relays"), "MED001 group relays: it has no hosts, so phones behind NAT have no audio"),
    "one relay": (lambda i: relays(i).pop("relay2"), "MED001 group relays: it has one host, and audio ends with it"),
    "relay in another core network": (
        lambda i: relays(i)["relay2"].update(sipha_core_address="198.18.21.32/24"),
        "MED002 sipha_core_address on relay2: 198.18.21.32/24 is not in 198.18.20.0/24, the core network of the proxies",
    ),
    "private relay for phones of the Internet": (
        on_the_internet,
        "MED003 sipha_public_address on relay2: phones reach the VIP from the Internet, but their audio would be sent to 198.18.10.32",
    ),
    "relay outside of the public network": (
        lambda i: relays(i)["relay2"].update(sipha_public_address="198.18.11.32/24"),
        "MED003 sipha_public_address on relay2: 198.18.11.32 is neither in the public network 198.18.10.0/24 nor a public address",
    ),
    "advertised address with a prefix": (
        lambda i: on_the_internet(i, sipha_advertised_address="8.8.8.32/24"),
        "INV003 sipha_advertised_address on relay2: '8.8.8.32/24' is not an IPv4 address",
    ),
    "unknown media relay": (
        lambda i: i["vars"].update(sipha_media_relay="rtpproxy"),
        "INV005 sipha_media_relay: 'rtpproxy' is not known here. Set it to one of: mediaproxy, rtpengine, none",
    ),
    "misspelt relay variable": (
        lambda i: i["vars"].update(media_relay_port_rnage="40000:49998"),
        "INV004 media_relay_port_rnage: nothing reads this variable. Did you mean media_relay_port_range",
    ),
    "template that can't be resolved": (
        lambda i: i["vars"].update(sipha_domain="{{ no_such_variable }}"),
        "INV009 sipha_domain on",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_one_clear_error_before_any_connection(tmp_path: Path, name: str) -> None:
    change, message = BAD[name]
    code, output = site(tmp_path, change)
    assert code != 0
    assert message in output.replace("''", "'"), output
    assert "UNREACHABLE" not in output
    assert "no_such_container" not in output


GOOD_CHANGES: dict[str, Change] = {
    "nothing": lambda _: None,
    "no relays, by choice": lambda i: i["children"].pop("relays") and i["vars"].update(sipha_media_relay="none"),
    "relay behind a 1:1 NAT": lambda i: on_the_internet(i, sipha_advertised_address="8.8.8.32"),
}


@pytest.mark.parametrize("name", GOOD_CHANGES)
def test_a_good_inventory_gets_as_far_as_the_hosts(tmp_path: Path, name: str) -> None:
    """The negative control: without a mistake the run goes on to the hosts, which are not there."""
    code, output = site(tmp_path, GOOD_CHANGES[name])
    assert code != 0
    assert "The inventory has" not in output
    assert "sipha-no-such-container" in output


def test_an_error_is_waived_by_name_only(tmp_path: Path) -> None:
    def change(inventory: dict[str, Any]) -> None:
        inventory["children"]["databases"]["hosts"].pop("db3")
        inventory["vars"]["sipha_waivers"] = {"DB001": "a test of waivers"}

    _, output = site(tmp_path, change)
    assert "waived (a test of waivers): DB001" in output
    assert "sipha-no-such-container" in output
