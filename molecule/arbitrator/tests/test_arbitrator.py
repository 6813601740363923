"""Two databases and an arbitrator keep writing when any one of the three is gone, and come back by themselves."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
import testinfra

DATABASES = ("arbdb1", "arbdb2")
MEMBERS = (*DATABASES, "arb1")
ASK = """
import urllib.error, urllib.request
try:
    print(urllib.request.urlopen("http://198.18.50.21:9200/writable", timeout=3).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def status(name: str, variable: str) -> str:
    host = testinfra.get_host(f"docker://sipha-{name}")
    result = host.run(f"mariadb -BNe \"SHOW STATUS LIKE '{variable}'\"")
    return result.stdout.split("\t")[-1].strip() if result.rc == 0 else ""


def until(check: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.25)


def whole() -> bool:
    return all(status(n, "wsrep_cluster_size") == "3" and status(n, "wsrep_local_state") == "4" for n in DATABASES)


def write(name: str, value: int) -> int:
    host = testinfra.get_host(f"docker://sipha-{name}")
    return host.run(  # the value is a number of this test's
        f"mariadb -e 'CREATE TABLE IF NOT EXISTS mysql.zz_probe (x INT PRIMARY KEY); REPLACE INTO mysql.zz_probe VALUES ({value})'"  # noqa: S608
    ).rc


@pytest.fixture(autouse=True)
def _healed() -> Iterator[None]:
    until(whole, 60, "two Synced databases and an arbitrator")
    yield
    for name in MEMBERS:
        subprocess.run(["docker", "start", f"sipha-{name}"], check=True, capture_output=True)
    until(whole, 120, "all three back")


def test_three_votes_two_copies() -> None:
    assert [status(n, "wsrep_cluster_status") for n in DATABASES] == ["Primary", "Primary"]
    assert testinfra.get_host("docker://sipha-arb1").service("sipha-garbd").is_running


@pytest.mark.parametrize("lost", MEMBERS)
def test_any_one_may_die(lost: str) -> None:
    subprocess.run(["docker", "kill", f"sipha-{lost}"], check=True, capture_output=True)
    left = [n for n in DATABASES if n != lost]
    until(lambda: all(status(n, "wsrep_cluster_size") == "2" for n in left), 30, "the others know")
    assert [write(n, 100 + i) for i, n in enumerate(left)] == [0] * len(left)


def test_a_database_without_both_others_refuses() -> None:
    """The negative control: one vote of three must not write."""
    for name in ("arb1", "arbdb2"):
        subprocess.run(["docker", "kill", f"sipha-{name}"], check=True, capture_output=True)
    until(lambda: status("arbdb1", "wsrep_cluster_status") == "non-Primary", 30, "arbdb1 knows that it is alone")
    assert write("arbdb1", 999) != 0
    host = testinfra.get_host("docker://sipha-arbdb1")
    code = host.run(f"python3 - <<'EOF'\n{ASK}\nEOF")
    assert code.stdout.strip() == "503"
