"""Each series runs its own packages, and its parser accepts our script in both registrar modes and with hooks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import testinfra
import yaml

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = ROOT / "molecule/opensips/inventory"
SERIES = {
    name: data["series"]
    for name, data in yaml.safe_load((INVENTORY / "hosts.yml").read_text())["all"]["children"]["series"]["hosts"].items()
}

RENDER = """
- hosts: {host}
  gather_facts: false
  vars: {variables}
  tasks:
    - ansible.builtin.include_vars: {{file: {root}/molecule/opensips/vars/model.yml}}
    - ansible.builtin.set_fact: {{sipha_topology: "{{{{ model | combine(changed) }}}}"}}
    - ansible.builtin.import_role: {{name: sipha.cluster.opensips, tasks_from: {entry}}}
"""


@pytest.fixture(params=sorted(SERIES), ids=lambda name: SERIES[name])
def engine(request: pytest.FixtureRequest) -> tuple[str, testinfra.host.Host]:
    return request.param, testinfra.get_host(f"docker://sipha-{request.param}")


def play(
    tmp_path: Path, host: str, variables: dict[str, object], changed: dict[str, object], entry: str = "configure.yml"
) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "play.yml"
    values = {
        "opensips_packages_dir": "/var/cache/sipha/packages/bookworm",
        "sipha_secret_db_engine": "not-a-secret-not-a-secret-",
        "sipha_secret_auth_nonce": "n" * 32,
        "changed": changed,
        **variables,
    }
    path.write_text(
        RENDER.format(host=host, variables=yaml.safe_dump(values, default_flow_style=True, width=10000).strip(), root=ROOT, entry=entry)
    )
    return subprocess.run(
        ["ansible-playbook", "-i", str(INVENTORY), str(path)], capture_output=True, text=True, cwd=ROOT, check=False, timeout=300
    )


def test_the_packages_are_of_the_series(engine: tuple[str, testinfra.host.Host]) -> None:
    name, host = engine
    assert host.package("opensips").version.startswith(SERIES[name] + ".")


def test_the_parser_accepts_the_script(engine: tuple[str, testinfra.host.Host]) -> None:
    _, host = engine
    result = host.run("opensips -C -f /etc/opensips/opensips.cfg")
    assert result.rc == 0, result.stderr
    assert [line for line in result.stderr.splitlines() if "WARNING" in line or "ERROR" in line] == []


def test_the_script_is_not_readable_by_everybody(engine: tuple[str, testinfra.host.Host]) -> None:
    _, host = engine
    script = host.file("/etc/opensips/opensips.cfg")
    assert (script.user, script.group, script.mode) == ("root", "opensips", 0o640)


def test_full_sharing_and_hooks_parse_too(engine: tuple[str, testinfra.host.Host], tmp_path: Path) -> None:
    name, host = engine
    try:
        result = play(
            tmp_path,
            name,
            {
                "opensips_hooks": {"request": "MINE", "call": "MINE", "register": "MINE", "carrier": "MINE", "reply": "MINE"},
                "opensips_extra_routes": 'route[MINE] { xlog("L_DBG", "mine\\n"); }',
                "opensips_carrier_permission": "pstn",
            },
            {"registrar_mode": "full_sharing"},
        )
        assert result.returncode == 0, result.stdout + result.stderr
        text = host.file("/etc/opensips/opensips.cfg").content_string
        assert text.count("route(MINE);") == 5
        assert '"full-sharing"' in text
        assert (
            host.run("sqlite3 /var/lib/opensips/usrloc.sqlite \"SELECT table_version FROM version WHERE table_name='location'\"").stdout
            == "1013\n"
        )
    finally:
        assert play(tmp_path, name, {}, {}).returncode == 0


def test_a_broken_script_does_not_replace_the_old_one(engine: tuple[str, testinfra.host.Host], tmp_path: Path) -> None:
    name, host = engine
    before = host.file("/etc/opensips/opensips.cfg").sha256sum
    result = play(tmp_path, name, {"opensips_extra_routes": "route[BROKEN] { no_such_function(); }"}, {})
    assert result.returncode != 0
    assert "failed to validate" in result.stdout + result.stderr
    assert host.file("/etc/opensips/opensips.cfg").sha256sum == before


def test_a_hook_without_its_route_is_named(engine: tuple[str, testinfra.host.Host], tmp_path: Path) -> None:
    name, _ = engine
    result = play(tmp_path, name, {"opensips_hooks": {"call": "NOWHERE"}}, {}, entry="validate.yml")
    assert result.returncode != 0
    assert "opensips_extra_routes must define route[NOWHERE]" in " ".join((result.stdout + result.stderr).split())


def test_another_series_is_refused(engine: tuple[str, testinfra.host.Host], tmp_path: Path) -> None:
    name, host = engine
    other = {"3.4": "3.6", "3.6": "4.0", "4.0": "3.6"}[SERIES[name]]
    before = host.package("opensips").version
    result = play(tmp_path, name, {}, {"engine_version": other}, entry="install.yml")
    assert result.returncode != 0
    assert f"sipha_opensips_version is {other}" in " ".join((result.stdout + result.stderr).split())
    assert host.package("opensips").version == before
