#!/usr/bin/env python3
"""The README's test command: lint, unit tests, molecule scenarios. Ends with `N passed, N failed, N skipped`.

Without arguments everything runs; with names only those: tools/run_tests.py lint unit. What stands in LANES goes on side by side, as each
of them leaves one of two processors idle; the cluster's tests then have the machine for themselves.

A step is a linter, a pytest run (each of its tests counts) or a molecule action. What can't run here is skipped with its reason,
loudly and counted; it never passes instead. A test of the cluster that fails is tried once more, and named as unstable.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
MOLECULE = ["molecule", "--base-config", "molecule/base.yml"]
LAST_LINES = 60
SECOND_TRIES = CACHE / "second-tries.txt"  # written by molecule/cluster/tests/conftest.py
MAY_BE_UNSTABLE = 2


@dataclass
class Totals:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    lines: list[str] = field(default_factory=list)

    def step(self, name: str, good: bool, seconds: float) -> None:
        self.passed, self.failed = self.passed + good, self.failed + (not good)
        self.lines.append(f"{'ok  ' if good else 'FAIL'} {name} ({seconds:.0f} s)")
        print(self.lines[-1], flush=True)

    def skip(self, name: str, reason: str, count: int = 1) -> None:
        self.skipped += count
        self.lines.append(f"SKIP {name}: {reason}")
        print(self.lines[-1], flush=True)

    def add(self, other: Totals) -> None:
        self.passed, self.failed, self.skipped = self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped
        self.lines += other.lines

    def junit(self, name: str, path: Path) -> None:
        """Count the tests of a pytest run; a run that left no report has failed."""
        if not path.exists():
            self.step(f"{name}: no report, no test ran", False, 0)
            return
        total = failed = skipped = 0
        for case in ET.parse(path).iter("testcase"):  # noqa: S314 (our own file)
            total += 1
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
                self.lines.append(f"FAIL {name}: {case.get('classname')}::{case.get('name')}")
            elif (skip := case.find("skipped")) is not None:
                skipped += 1
                self.lines.append(f"SKIP {name}: {case.get('name')}: {skip.get('message')}")
        self.passed, self.failed, self.skipped = self.passed + total - failed - skipped, self.failed + failed, self.skipped + skipped
        print(f"     {name}: {total} tests, {failed} failed, {skipped} skipped", flush=True)
        if not total:
            self.step(f"{name}: no test ran", False, 0)

    def unstable(self, name: str, tried: list[str]) -> None:
        """Tests that failed first: seconds decide there, and another load on the machine is enough. Two may, and are named."""
        for test in tried:
            self.lines.append(f"UNSTABLE {name}: failed at its first try: {test}")
            print(self.lines[-1], flush=True)
        if len(tried) > MAY_BE_UNSTABLE:
            self.step(f"{name}: {len(tried)} tests failed at their first try, {MAY_BE_UNSTABLE} may", False, 0)


def run(command: list[str], log: str) -> tuple[bool, float]:
    """Run one command; its output goes to a file, and its end to the terminal when it fails."""
    start = time.monotonic()
    path = CACHE / f"{log}.log"
    print(f"---- {' '.join(command)}   (output: {path.relative_to(ROOT)})", flush=True)
    with path.open("wb") as output:
        good = (
            subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
            == 0
        )
    if good and "molecule" in command[0] and b"Missing playbook" in path.read_bytes():
        print("a playbook of the sequence is missing, which molecule passes over", flush=True)
        good = False
    if not good:
        print("\n".join(path.read_text(errors="replace").splitlines()[-LAST_LINES:]), flush=True)
    return good, time.monotonic() - start


def lint(totals: Totals) -> None:
    for name, command in (
        ("ruff check", ["ruff", "check", "."]),
        ("ruff format", ["ruff", "format", "--check", "."]),
        ("mypy", ["mypy", "plugins/module_utils", "plugins/filter", "plugins/modules", "plugins/action", "tools"]),
        ("yamllint", ["yamllint", "--strict", "."]),
        ("ansible-lint", ["ansible-lint"]),
        ("collection docs", ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "."]),
        ("role READMEs", ["tools/role_readmes.py", "--check"]),
    ):
        totals.step(name, *run(command, "lint-" + name.replace(" ", "-")))


def tests(totals: Totals, name: str, arguments: list[str]) -> None:
    report = CACHE / f"junit-{name}.xml"
    run(["pytest", *arguments, f"--junitxml={report}"], f"pytest-{name}")
    totals.junit(name, report)


def scenario(totals: Totals, name: str, *actions: str, options: tuple[str, ...] = ()) -> bool:
    """Run molecule actions; the tests of `verify` are counted one by one. The options are ansible-playbook's, for what converges."""
    report = CACHE / f"junit-{name}.xml"
    for action in actions:
        more = ["--", *options] if options and action in ("converge", "idempotence") else []
        good, seconds = run([*MOLECULE, action, "-s", name, *more], f"molecule-{name}-{action}")
        counted = action in ("verify", "test") and report.exists()
        if counted:
            totals.junit(name, report)
        if not counted or not good:
            totals.step(f"molecule {action} {name}", good, seconds)
        else:
            print(f"ok   molecule {action} {name} ({seconds:.0f} s)", flush=True)
        if not good and action != "verify":
            return False
    return True


def cluster(totals: Totals) -> None:
    """The lab from nothing, site.yml, the tests from outside (test_60: again changes nothing). SIPHA_KEEP_LAB=1 leaves it up."""
    relay = subprocess.run(["tools/lab_relay.sh"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    if scenario(totals, "default", "destroy", "create"):
        SECOND_TRIES.unlink(missing_ok=True)
        scenario(totals, "cluster", "converge", "verify", options=("-e", f"sipha_media_relay={relay}"))
        totals.unstable("cluster", SECOND_TRIES.read_text().split("\n")[:-1] if SECOND_TRIES.exists() else [])
    if not os.environ.get("SIPHA_KEEP_LAB"):
        scenario(totals, "default", "destroy")


PARTS: dict[str, Callable[[Totals], object]] = {
    "lint": lint,
    "unit": lambda totals: tests(totals, "unit", ["-n", "2", "tests/unit"]),
    "playbooks": lambda totals: tests(totals, "playbooks", ["-n", "2", "--dist", "loadfile", "tests/playbooks"]),
    "time_sync": lambda totals: scenario(totals, "time_sync", "test"),
    "arbitrator": lambda totals: scenario(totals, "arbitrator", "test"),
    "opensips": lambda totals: scenario(totals, "opensips", "test"),
    "cluster": cluster,
}
LANES = (("lint", "unit", "playbooks"), ("opensips", "arbitrator", "time_sync"))
NEED_PACKAGES = ("opensips", "cluster")


def main() -> int:
    os.environ["PATH"] = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    os.environ.setdefault("ANSIBLE_CONFIG", str(ROOT / "ansible.cfg"))
    # Output goes to files and to tests that read it: the same whether or not the caller's terminal has colours.
    for name in ("CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR"):
        os.environ.pop(name, None)
    os.environ |= {"PY_COLORS": "0", "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    CACHE.mkdir(exist_ok=True)
    for old in CACHE.glob("junit-*.xml"):
        old.unlink()
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := sorted(set(wanted) - set(PARTS)):
        print(f"unknown part {unknown[0]}; the parts are: {', '.join(PARTS)}")
        return 2
    start, totals = time.monotonic(), Totals()
    packages = subprocess.run(["tools/packages.sh"], cwd=ROOT, capture_output=True, text=True, check=False)

    def parts(names: Iterable[str]) -> Totals:
        counted = Totals()
        for name in names:
            if name in NEED_PACKAGES and packages.returncode:
                counted.skip(f"molecule scenario {name}", packages.stderr.splitlines()[0])
            else:
                PARTS[name](counted)
        return counted

    with ThreadPoolExecutor() as lanes:
        for counted in lanes.map(parts, [[name for name in lane if name in wanted] for lane in LANES]):
            totals.add(counted)
    totals.add(parts(name for name in wanted if not any(name in lane for lane in LANES)))
    print("\n==== what did not pass, and the steps")
    print("\n".join(totals.lines))
    print(f"took {(time.monotonic() - start) / 60:.1f} min\n")
    print(f"{totals.passed} passed, {totals.failed} failed, {totals.skipped} skipped")
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
