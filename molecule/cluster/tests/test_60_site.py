"""site.yml again: from an installed collection, with the VIP on the other proxy. And a clock that is off is found and named."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_lab import Lab, until

ROOT = Path(__file__).resolve().parents[3]
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
FAKE = "libfaketime.so.1"


def start_playbook(name: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.Popen[str]:
    """Start a playbook: a file of this checkout, or sipha.cluster.something where `environment` says where that is."""
    return subprocess.Popen(
        ["ansible-playbook", "-i", str(ROOT / "inventories/lab"), name, *arguments],
        cwd=cwd,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_FORKS": "12",
            "ANSIBLE_FORCE_COLOR": "false",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def playbook(name: str, cwd: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    run = start_playbook(name, *arguments, cwd=cwd, **environment)
    try:
        output = run.communicate(timeout=900)[0]
    finally:
        run.kill()
    return run.returncode, output


def galaxy(place: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["ansible-galaxy", "collection", *arguments],
        cwd=place,
        env=os.environ | nothing_else(place),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def nothing_else(place: Path) -> dict[str, str]:
    return {"ANSIBLE_CONFIG": str(place / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(place / "collections")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection, built and installed somewhere else; nothing of the checkout but the inventory is in reach."""
    place = tmp_path_factory.mktemp("installed")
    (place / "ansible.cfg").write_text("[defaults]\n")
    # The paths of the run that calls us hold this very version: galaxy would find "nothing to do".
    galaxy(place, "build", "--output-path", str(place), str(ROOT))
    (artifact,) = place.glob("sipha-cluster-*.tar.gz")
    galaxy(place, "install", "--no-deps", "-p", str(place / "collections"), str(artifact))
    return place


def test_the_installed_collection_has_no_copy_of_itself(installed: Path) -> None:
    root = installed / "collections/ansible_collections/sipha/cluster"
    assert (root / "playbooks/site.yml").is_file()
    assert [p.name for p in root.iterdir() if p.name in (".collections", ".venv", ".git", ".cache")] == []
    assert list((root / "inventories/lab").rglob("secrets.yml")) == []


def test_site_from_the_installed_collection_changes_nothing_and_moves_no_vip(lab: Lab, installed: Path, healed: None) -> None:
    old = lab.settled()
    new = lab.standby()
    lab.host(old).check("systemctl stop keepalived")
    until(lab.holders, lambda found: found == [new], 5, f"the VIP on {new}")
    lab.host(old).check("systemctl start keepalived")
    until(lab.tag_states, lambda seen: seen == {old: "backup", new: "active"}, 10, f"the sharing tag active on {new} only")
    code, output = playbook(
        "sipha.cluster.site",
        installed,
        **nothing_else(installed),
    )
    recap = {host: (int(changed), int(gone), int(failed)) for host, changed, gone, failed in RECAP.findall(output)}
    assert code == 0, output[-4000:]
    assert {host for host, counts in recap.items() if counts != (0, 0, 0)} == set(), output[-4000:]
    assert set(recap) == {*lab.proxies, *lab.databases, "relay1", "relay2", "localhost"}
    assert lab.holders() == [new]


def test_a_controller_without_the_ca_of_the_cluster_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    """It would make a new one; the database that gets its certificate first could no longer talk to the others."""

    def trusted() -> set[str]:
        return {lab.host(name).check("sha256sum /etc/sipha/pki/ca.pem") for name in (*lab.proxies, *lab.databases)}

    before = trusted()
    wanted = json.dumps({"sipha_pki_dir": str(tmp_path / "none")})
    code, output = playbook("playbooks/site.yml", ROOT, "-e", wanted, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    assert code != 0
    assert "LIVE026 sipha_pki_dir: db1, db2, db3, sip1, sip2 trust a CA, and the controller's directory has none." in output
    assert (trusted(), len(before), list(tmp_path.iterdir())) == (before, 1, [])


def test_a_reload_of_data_that_failed_is_made_up_for(lab: Lab, healed: None) -> None:
    """A proxy whose way to the database is shut can't read the tables; the next run tells it again, and the one after that nobody."""
    name = "later.example.org"

    def data(**entry: str) -> tuple[int, str, int]:
        wanted = json.dumps({"sipha_domains": [{"domain": name, **entry}]})
        code, output = playbook("playbooks/data.yml", ROOT, "-e", wanted, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
        return code, output, sum(int(changed) for _, changed, _, _ in RECAP.findall(output))

    def serve_it() -> list[str]:
        return [proxy for proxy in lab.proxies if name in str(lab.mi(proxy, "domain_dump"))]

    lab.settled()
    standby, others = lab.standby(), [proxy for proxy in lab.proxies if proxy != lab.standby()]
    try:
        lab.host(standby).check("systemctl stop sipha-db.socket")
        code, output, _ = data()
        assert (code != 0, serve_it()) == (True, others), output[-3000:]
        lab.host(standby).check("systemctl start haproxy")
        lab.settled()
        code, output, _ = data()
        assert (code, serve_it()) == (0, lab.proxies), output[-3000:]
        code, output, changed = data()
        assert (code, changed) == (0, 0), output[-3000:]
    finally:
        lab.host(standby).run("systemctl start haproxy")
        lab.settled()
        code, output, _ = data(state="absent")
        assert code == 0, output[-3000:]
    assert serve_it() == []


def test_plan_says_what_site_would_do_and_touches_nothing(lab: Lab) -> None:
    """A changed script: the standby restarts, the holder gives its VIP away and restarts."""
    holder, standby = lab.settled(), lab.standby()
    look = "stat --format=%Y%Z /etc/opensips/current /etc/opensips/releases /etc/opensips/current/opensips.cfg"
    before = {name: lab.host(name).check(look) for name in lab.proxies}
    code, output = playbook("playbooks/plan.yml", ROOT, "-e", "opensips_default_expires=601", ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    assert code == 0, output[-4000:]
    lines = [line.strip() for line in output.splitlines()]
    assert "site.yml would change 2 of 7 hosts. Nothing was changed by looking." in lines
    steps = [line for line in lines if re.match(r"\d+\. ", line)]
    assert steps == [
        f"1. {standby}: opensips restarts (/etc/opensips/opensips.cfg)",
        f"2. {holder}: gives the VIP main to {standby} (before it restarts)",
        f"3. {holder}: opensips restarts (/etc/opensips/opensips.cfg)",
    ]
    assert f"VIPs that move: main ({lab.vip}) from {holder} to {standby}." in lines
    assert {name: lab.host(name).check(look) for name in lab.proxies} == before
    assert lab.holders() == [holder]


def test_a_reload_of_keepalived_moves_no_vip(lab: Lab, healed: None) -> None:
    holder = lab.settled()
    seen = []
    for name in lab.proxies:
        lab.host(name).check("systemctl reload keepalived")
        end = time.monotonic() + 2
        while time.monotonic() < end:
            seen.append(lab.holders())
    assert len(seen) > 5
    assert [found for found in seen if found != [holder]] == []


@pytest.fixture
def skewed(lab: Lab) -> Iterator[str]:
    """A proxy on which every new process sees a clock 90 s ahead. Containers share the kernel's clock, so it can't be set for one alone."""
    host = lab.host("sip2")
    host.check("apt-get install -y -qq libfaketime >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq libfaketime; }")
    library = host.check(f"find /usr/lib -name {FAKE}").split()[0]
    host.check("echo +90s > /etc/faketimerc")
    host.check(f"echo {library} > /etc/ld.so.preload")
    yield host.name
    # unlink works whatever is preloaded
    host.check("rm -f /etc/ld.so.preload /etc/faketimerc")


def test_a_skewed_clock_is_found_and_named(lab: Lab, skewed: str) -> None:
    code, output = playbook("playbooks/clocks.yml", ROOT, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    text = " ".join(output.split())
    assert code != 0
    assert re.search(rf"The clock is off on: {skewed} \+(89|90)\.\d+ s", text), output


def test_clocks_that_agree_pass() -> None:
    """The negative control of the test above, after it has healed."""
    code, output = playbook("playbooks/clocks.yml", ROOT, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    assert code == 0, output
