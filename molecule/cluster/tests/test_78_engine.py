"""OpenSIPS goes to another release series and back, proxy by proxy, and nothing is lost; an engine that fails goes again."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from cluster_lab import Lab, until
from load import load
from sipp_runner import Phone
from test_60_site import start_playbook
from test_75_ringing import run_playbook
from test_77_upgrades import call_works, half_done, releases, words

HERE, NEXT = "3.6", "4.0"


@pytest.fixture(autouse=True)
def _whole_again(healed: None) -> None:
    """Each test here moves the VIP."""


@pytest.fixture(scope="module", autouse=True)
def _packages(lab: Lab) -> None:
    if not list(Path(lab.setting("opensips_packages_dir")).glob(f"opensips_{NEXT}.*.deb")):
        pytest.skip(f"there are no packages of OpenSIPS {NEXT} on this machine")


def engine(series: str, **variables: Any) -> tuple[int, str]:
    code, output = run_playbook("upgrade_engine", "--extra-vars", json.dumps({"sipha_opensips_version": series, **variables}))
    return code, words(output)


def running(lab: Lab) -> list[str]:
    """The series that answers, by its own word."""
    return [str(lab.mi(name, "version")["Server"]).split("(")[1][:3] for name in lab.proxies]


def package(lab: Lab, name: str) -> str:
    """The series that is installed."""
    return lab.host(name).run("dpkg-query --show --showformat '${Version}' opensips")[1][:3]


def test_an_engine_that_does_not_work_goes_again(lab: Lab, bob: Phone) -> None:
    holder, before = lab.settled(), releases(lab)
    broken = 'route[MINE] {\n\tsend_reply(500, "No");\n\texit;\n}\n'
    code, output = engine(NEXT, opensips_extra_routes=broken, opensips_hooks={"request": "MINE"})
    assert code != 0
    assert f"OpenSIPS {NEXT} did not work, and {HERE}." in output, output[-3000:]
    assert "REGISTER without credentials is answered 500 No, not 401." in output
    assert (running(lab), releases(lab), lab.holders(), half_done(lab)) == ([HERE] * len(lab.proxies), before, [holder], [])
    call_works(lab, bob)


def test_there_under_load(lab: Lab, bob: Phone, long: None) -> None:
    with load(lab, bob, 150) as under:
        code, output = engine(NEXT)
        still = under.still_on()
    assert code == 0, output[-3000:]
    assert still, "the upgrade took longer than the load"
    assert under.result == under.expected
    assert (running(lab), half_done(lab)) == ([NEXT] * len(lab.proxies), [])


def test_site_refuses_to_go_back_by_itself(lab: Lab, long: None) -> None:
    code, output = run_playbook("site", "--tags", "opensips")
    assert code != 0
    assert f"sipha_opensips_version is {HERE}" in words(output)
    assert running(lab) == [NEXT] * len(lab.proxies)


def test_and_back_though_the_controller_is_killed_in_the_middle(lab: Lab, bob: Phone, long: None) -> None:
    holder, standby = lab.settled(), lab.standby()
    wanted = json.dumps({"sipha_opensips_version": HERE})
    run = start_playbook("playbooks/upgrade_engine.yml", "--extra-vars", wanted)
    try:
        until(lambda: package(lab, standby), lambda found: found == HERE, 180, f"the package of {HERE} on the standby")
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait(10)
    assert (lab.holders(), package(lab, holder)) == ([holder], NEXT)
    call_works(lab, bob)
    code, output = engine(HERE)
    assert code == 0, output[-3000:]
    assert (running(lab), half_done(lab)) == ([HERE] * len(lab.proxies), [])
    call_works(lab, bob)
    tables = lab.sql("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA='opensips' AND TABLE_NAME LIKE 'version%'")
    assert sorted(row["TABLE_NAME"] for row in tables) == ["version", "version_3_6"]
