"""Each series runs its own packages, and its parser accepts our script in both registrar modes, with each media relay, and with hooks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
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

SCRIPT = "/etc/opensips/current/opensips.cfg"
RENDER = """
- hosts: {host}
  gather_facts: false
  vars: {variables}
  tasks:
    - ansible.builtin.include_vars: {{file: {root}/molecule/opensips/vars/model.yml}}
    - ansible.builtin.set_fact: {{sipha_topology: "{{{{ model | combine(changed) }}}}"}}
    - ansible.builtin.import_role: {{name: sipha.cluster.opensips, tasks_from: {entry}}}
    - sipha.cluster.opensips_release: {{state: active, release: "{{{{ opensips_release_wanted }}}}", why: a test}}
      when: opensips_release_wanted is defined
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


def complaints(host: testinfra.host.Host) -> list[str]:
    """What the engine's parser says against the script, its last word included when that is not that all is well."""
    result = host.run("opensips -C -f /etc/opensips/opensips.cfg")
    lines = result.stderr.splitlines()
    return [line for line in lines if "WARNING" in line or "ERROR" in line or "CRITICAL" in line] + ([] if result.rc == 0 else lines[-1:])


def test_the_parser_accepts_the_script(engine: tuple[str, testinfra.host.Host]) -> None:
    _, host = engine
    assert complaints(host) == []


def test_the_parser_is_heard(engine: tuple[str, testinfra.host.Host]) -> None:
    """The negative control of what looks for complaints: a parameter that the relay's module does not have."""
    _, host = engine
    host.check_output(f"cp -p {SCRIPT} /etc/opensips/kept.cfg")
    try:
        host.check_output(f'sed -i \'s/"mediaproxy_timeout"/"mediaproxy_patience"/\' {SCRIPT}')
        # said by the module's check, and with its place by the parser
        assert len([line for line in complaints(host) if "<mediaproxy_patience> not found in module" in line]) == 2
    finally:
        host.check_output(f"mv /etc/opensips/kept.cfg {SCRIPT}")


def test_the_script_is_not_readable_by_everybody(engine: tuple[str, testinfra.host.Host]) -> None:
    _, host = engine
    script = host.file(SCRIPT)
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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"opensips_extra_routes": "route[BROKEN] { no_such_function(); }"}, "SCRIPT030"),  # the parser would say this too
        ({"opensips_extra_routes": "route[BROKEN] { route(NOWHERE); }"}, "SCRIPT020"),  # the parser passes it, the engine would not start
        ({"opensips_extra_modules": 'max_while_loops="many"'}, "does not accept the script"),  # values of core settings are the parser's
    ],
    ids=["function", "route", "value"],
)
def test_a_broken_script_replaces_nothing(
    engine: tuple[str, testinfra.host.Host], tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    name, host = engine
    before = host.file("/etc/opensips/opensips.cfg").sha256sum
    result = play(tmp_path, name, changed, {})
    assert result.returncode != 0
    assert said in " ".join((result.stdout + result.stderr).split())
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


RTPENGINE: dict[str, object] = {"media_relay": "rtpengine"}
RESCUE: dict[str, object] = {"opensips_rescue_ringing": True}
# What is set, what of the model is another, and how often words are in the script. The default is what the scenario has converged to.
MEDIA: dict[str, tuple[dict[str, object], dict[str, object], dict[str, int]]] = {
    "mediaproxy, auto": ({}, {}, {"use_media_proxy();": 3, "end_media_session();": 1, "(branch(flags)": 1, "rtpengine": 0}),
    "mediaproxy, always": ({"opensips_media_relaying": "always"}, {}, {"use_media_proxy();": 3, "(branch(flags)": 0}),
    "mediaproxy, never": (
        {"opensips_media_relaying": "never"},
        {},
        {"mediaproxy.so": 0, "media_": 0, "(media)": 0, "MEDIA": 0, "local_route": 0},
    ),
    "rtpengine, auto": ({}, RTPENGINE, {"rtpengine_offer(": 3, "rtpengine_answer(": 2, "rtpengine_delete(": 1, "media_proxy": 0}),
    "mediaproxy, direct behind one NAT": (
        {"opensips_media_direct_behind_one_nat": True},
        {},
        {"(du{uri.host})": 1, "use_media_proxy();": 3},
    ),
    "mediaproxy, rescue": (RESCUE, {}, {"use_media_proxy();": 6, "socket=udp:127.0.0.1:5066": 1, "forward();": 1, '"gone_': 2}),
    "rtpengine, rescue": (RESCUE, RTPENGINE, {"rtpengine_answer(": 5, "rtpengine_delete(": 3, "forward();": 1, "media_proxy": 0}),
    "none, rescue": ({"opensips_media_relaying": "never", **RESCUE}, {}, {"forward();": 1, "RESCUED": 0, "MEDIA": 0}),
}

# The engine itself, for a moment, on SQLite instead of MariaDB: flags and names that its parser passes over stop it here.
START = r"""
cd "$(mktemp -d)"
for table in standard acc auth_db dispatcher domain group permissions usrloc; do
    sqlite3 all.sqlite < /usr/share/opensips/sqlite/$table-create.sql
done
table=$(sed -n 's/^db_version_table="\(.*\)"$/\1/p' /etc/opensips/opensips.cfg)
sqlite3 all.sqlite "CREATE TABLE $table AS SELECT * FROM version"
sed "s#mysql://[^\"]*#sqlite://$PWD/all.sqlite#; s/stderror_enabled=no/stderror_enabled=yes/" /etc/opensips/opensips.cfg > script
sed -i "s/198.18.40.3\([12]\):2223/127.0.0.\1:2223/g; %(change)s" script  # where nobody listens, which is said at once
mkdir -p /run/opensips
opensips -F -f script > said 2>&1 &
for _ in $(seq 50); do
    python3 -c "import urllib.request; urllib.request.urlopen('http://%(address)s:8888/metrics', timeout=1)" 2>/dev/null && echo up && break
    kill -0 $! 2>/dev/null || break
    sleep 0.1
done
grep -E "WARNING|ERROR|CRITICAL" said
kill $! && wait $!
rm -r "$PWD"
"""
# What is not there in this scenario: dispatchers and relays (and by choice no set 0), carriers, the other proxy, /etc/protocols.
NOT_THERE = (
    "mediaproxy_connect",
    "rtpe_",
    "default set 0",
    "no dispatching data",
    "tcp_connect",
    "tcp_sync_connect",
    "TCP protocol number",
)


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    assert play(tmp_path_factory.mktemp("restored"), "series", {}, {}).returncode == 0


@pytest.fixture(scope="module", params=MEDIA)
def media(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, restored: None) -> str:
    """One run renders it for all series at once; each series' parser has judged it before it came to its place."""
    values, changed, _ = MEDIA[request.param]
    if values or changed:
        result = play(tmp_path_factory.mktemp("media"), "series", values, changed)
        assert result.returncode == 0, result.stdout + result.stderr
    return str(request.param)


def test_every_way_of_media_parses(engine: tuple[str, testinfra.host.Host], media: str) -> None:
    _, host = engine
    text = host.file(SCRIPT).content_string
    assert {words: text.count(words) for words in MEDIA[media][2]} == MEDIA[media][2]
    assert complaints(host) == []


def start(engine: tuple[str, testinfra.host.Host], change: str = "") -> list[str]:
    """What the engine complains about, and "up" when it came up."""
    name, host = engine
    said = host.run("bash -c %s", START % {"address": f"198.18.40.{name[-2:]}", "change": change}).stdout
    return [line for line in said.splitlines() if not any(words in line for words in NOT_THERE)]


def test_every_way_of_media_starts(engine: tuple[str, testinfra.host.Host], media: str) -> None:
    assert start(engine) == ["up"]


def test_a_script_that_only_parses_does_not_start(engine: tuple[str, testinfra.host.Host]) -> None:
    """The negative control: a route that is not there, which no parser finds."""
    said = start(engine, "s/route(IN_DIALOG);/route(NOWHERE);/")
    assert "up" not in said
    assert len([line for line in said if "NOWHERE" in line]) == 1


def test_relays_are_named_by_the_address_of_their_media(engine: tuple[str, testinfra.host.Host], media: str) -> None:
    """What stands in the phones' SDP, which is not the relay's own address behind a 1:1 NAT, and what the relay is called by."""
    _, host = engine
    text = host.file(SCRIPT).content_string
    if media.startswith("rtpengine"):
        sockets = "udp:198.18.40.31:2223 udp:198.18.40.32:2223"
        assert [line for line in text.splitlines() if "rtpengine_sock" in line] == [
            f'modparam("rtpengine", "rtpengine_sock", "{number} == {sockets}")' for number in (1, 2)
        ]
        assert text.count('"ping_enabled", 1') == (0 if SERIES[engine[0]] == "3.4" else 1)
    else:
        named = (
            {}
            if media in ("mediaproxy, never", "none, rescue")
            else {"198[.]18[.]41[.]31": "198.18.40.31", "203[.]0[.]113[.]32": "198.18.40.32"}
        )
        assert [line.strip() for line in text.splitlines() if "DLG_json" in line and "(media_relay)" in line] == [
            f'if ($DLG_json =~ "IN IP4 {pattern}[^0-9]") $avp(media_relay) = "{address}";' for pattern, address in named.items()
        ]
