"""Plan: what is kept of a check run's results, the restarts and moves that follow from them, and how it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.sipha.cluster.plugins.module_utils.topology.plan import (
    ASKED_FOR,
    CONTROLLER,
    DATABASE,
    PROXY,
    RELAY,
    RESTARTED_BY,
    Plan,
    build,
    missing_groups,
    only,
    problems,
)
from ansible_collections.sipha.cluster.plugins.module_utils.topology.plan_effects import EFFECTS, MOVE_PLANNED
from ansible_collections.sipha.cluster.plugins.module_utils.topology.plan_text import render
from ansible_collections.sipha.cluster.plugins.module_utils.topology.recorded import extract, lines_changed
from topology_inventories import model, overlaid

ROOT = Path(__file__).resolve().parents[2]
RECORDED = Path(__file__).parent / "plan_events"
SCRIPT = "/etc/opensips/opensips.cfg"
HOSTS = ["sip1", "sip2", "db1", "db2", "db3", "relay1", "relay2"]
UNITS = {
    "opensips.service": [SCRIPT, "/etc/default/opensips"],
    "mediaproxy-dispatcher.service": ["/etc/sipha/media-dispatcher"],
    "mediaproxy-relay.service": ["/etc/sipha/media-relay"],
    "mariadb.service": ["/etc/mysql/mariadb.conf.d/70-sipha.cnf", "/etc/sipha/pki/host.crt"],
}
Event = dict[str, Any]


def event(
    host: str, status: str = "changed", action: str = "sipha.cluster.files", task: str = "Do it", message: str = "", **found: Any
) -> Event:
    delegate = found.pop("delegate", "")
    common = {"kind": "task", "play": "Configure the proxies", "role": "opensips"}
    return {
        **common,
        "host": host,
        "task": task,
        "action": action,
        "delegate": delegate,
        "status": status,
        "found": found,
        "message": message,
    }


def file(host: str, path: str = SCRIPT, **entry: Any) -> Event:
    return event(host, files=[{"path": path, "content": True, "added": 2, "removed": 1, **entry}])


def watch(host: str, unit: str = "opensips.service", stale: bool = False) -> Event:
    return event(host, "ok", "ansible.builtin.set_fact", unit_watched={"name": unit, "files": UNITS[unit], "stale": stale})


def sort_into(host: str, group: str) -> Event:
    return event(host, "ok", "ansible.builtin.group_by", group=group)


def carries(host: str, *addresses: str) -> Event:
    return event(host, "ok", "ansible.builtin.setup", addresses={"eth0": list(addresses)})


def service(host: str, unit: str, state: str, active: str = "active", **found: Any) -> Event:
    return event(host, "changed", "ansible.builtin.systemd_service", unit=unit, state=state, active=active, enabled=True, **found)


def stats(**broken: str) -> Event:
    return {
        "kind": "stats",
        "hosts": {host: {"failures": int(how == "failed"), "unreachable": int(how == "unreachable")} for host, how in broken.items()},
    }


VIP = "198.18.10.10"
LIVE = [carries("sip1", "198.18.10.11", VIP), carries("sip2", "198.18.10.12"), watch("sip1"), watch("sip2")]
SORTED = [sort_into(host, f"{PROXY}none") for host in ("sip1", "sip2")]


def plan(*events: Event, hosts: list[str] | None = None, overlay: dict[str, Any] | None = None, **options: Any) -> Plan:
    base = {"all": {"sipha_vips": [{"name": "main", "address": f"{VIP}/24", "router_id": 51, "preferred": ["sip1", "sip2"]}]}}
    base["all"] |= overlay or {}
    return build(model(overlaid(base)), list(events), hosts or HOSTS, **options)


def steps(made: Plan) -> list[str]:
    return [f"{step.host} {step.says()}" for step in made.steps]


# What is kept of a result


def test_lines_that_come_and_go() -> None:
    assert lines_changed("a\nb\n", "a\nc\nd\n") == (2, 1)
    assert lines_changed("-- x\n", "++ x\n") == (1, 1)
    assert lines_changed("x\n", "x\n") == (0, 0)


def test_of_a_file_path_and_numbers_but_never_its_content() -> None:
    secret = "geheim"
    result = {
        "changed_files": [SCRIPT, "/etc/x"],
        "diff": [
            {"before_header": SCRIPT, "before": "a\n", "after": f"a\n{secret}\n"},
            {"before": {"path": "/etc/x", "mode": "0600"}, "after": {"path": "/etc/x", "mode": "0644"}, "before_header": "/etc/x"},
        ],
        "content": secret,
    }
    kept = extract("sipha.cluster.files", "changed", result)
    assert kept[0]["found"]["files"] == [
        {"path": SCRIPT, "content": True, "added": 1, "removed": 0, "made": False},
        {"path": "/etc/x", "content": False, "made": False},
    ]
    assert secret not in json.dumps(kept)


def test_a_file_whose_diff_is_hidden_counts_as_changed_content() -> None:
    assert extract("sipha.cluster.files", "changed", {"changed_files": [SCRIPT], "diff": []})[0]["found"]["files"] == [
        {"path": SCRIPT, "content": True}
    ]


def test_of_a_hidden_result_only_that_something_changes() -> None:
    assert extract("ansible.builtin.command", "changed", {"censored": "hidden", "changed": True}) == [
        {"status": "changed", "found": {}, "message": ""}
    ]


@pytest.mark.parametrize(
    ("result", "never", "kept"),
    [
        ({"skip_reason": "Conditional result was False", "false_condition": "x"}, False, []),
        ({"msg": "Command would have run if not in check mode"}, False, ["would_run"]),
        ({"msg": "Command would have run if not in check mode"}, True, []),
    ],
)
def test_what_check_mode_leaves_out_is_told_from_what_is_not_wanted(result: dict[str, Any], never: bool, kept: list[str]) -> None:
    assert [one["status"] for one in extract("ansible.builtin.command", "skipped", result, never)] == kept


def test_packages_as_apt_simulates_them() -> None:
    said = (
        "Reading...\nInst chrony (4.3-2 Debian:12 [amd64])\nInst curl [7.1] (7.2 Debian [amd64])\nRemv ntpsec [1.2]\nConf chrony (4.3-2)\n"
    )
    assert extract("ansible.builtin.apt", "changed", {"stdout": said})[0]["found"] == {"packages": ["+chrony", "^curl", "-ntpsec"]}


def test_packages_that_were_asked_for_come_first_and_the_rest_is_counted() -> None:
    said = "".join(f"Inst lib{number} (1 Debian [amd64])\n" for number in range(20)) + "Inst rtpengine-daemon (10 Debian [amd64])\n"
    result = {"stdout": said, "invocation": {"module_args": {"package": ["rtpengine-daemon"]}}}
    found = extract("ansible.builtin.apt", "changed", result)[0]["found"]
    assert found["packages"][:2] == ["+rtpengine-daemon", "+lib0"]
    made = plan(event("relay1", action="ansible.builtin.apt", **found))
    assert "package  +rtpengine-daemon, +lib0, +lib1, +lib2, +lib3, +lib4, +lib5, +lib6, and 13 more" in render(made)
    assert len(made.hosts["relay1"].changes) == 21


def test_items_of_a_loop_are_events_of_their_own() -> None:
    common = {"ansible_loop_var": "item", "invocation": {"module_args": {"path": "/etc/a"}}}
    result = {
        "changed": True,
        "results": [{**common, "changed": True}, {**common, "skipped": True}, {**common, "failed": True, "msg": "no"}],
    }
    kept = extract("ansible.builtin.file", "failed", result)
    assert [(one["status"], one["message"]) for one in kept] == [("changed", ""), ("failed", "no")]


@pytest.mark.parametrize("action", ["sipha.cluster.host_look", "ansible.builtin.setup"])  # what validate.yml, and what roles alone ask by
def test_addresses_but_not_those_of_the_loopback(action: str) -> None:
    facts = {
        "ansible_interfaces": ["lo", "lo_sipha", "eth-0"],
        "ansible_lo": {"ipv4": {"address": "127.0.0.1"}, "ipv4_secondaries": [{"address": VIP}]},
        "ansible_lo_sipha": {"ipv4": {"address": VIP}},
        "ansible_eth_0": {"ipv4": {"address": "198.18.10.11"}, "ipv4_secondaries": [{"address": "198.18.10.99"}]},
    }
    assert extract(action, "ok", {"ansible_facts": facts})[0]["found"] == {"addresses": {"eth-0": ["198.18.10.11", "198.18.10.99"]}}


def test_what_is_installed_of_what_counts() -> None:
    known = ["installed/opensips", "installed/vim", "fresh-lists"]
    assert extract("ansible.builtin.set_fact", "ok", {"ansible_facts": {"__packages_known": known}})[0]["found"] == {
        "installed": ["opensips"]
    }


def test_an_ok_without_anything_to_say_is_not_kept() -> None:
    assert extract("ansible.builtin.command", "ok", {"stdout": "secret"}) == []


# Restarts and moves


def test_nothing_to_change() -> None:
    made = plan(*LIVE, *SORTED)
    assert (made.changing, made.steps, made.complete) == ([], [], True)
    assert render(made) == "site.yml: nothing to change."
    assert not made.as_dict()["changes"]


def test_standby_first_then_the_holder_gives_its_vip_away() -> None:
    made = plan(*LIVE, file("sip1"), file("sip2"), *SORTED)
    assert steps(made) == ["sip2 opensips restarts", "sip1 gives the VIP main to sip2", "sip1 opensips restarts"]
    assert [step.why for step in made.steps] == [(SCRIPT,), ("before it restarts",), (SCRIPT,)]
    assert made.steps[1].clients == MOVE_PLANNED
    assert (made.vips[0].before, made.vips[0].after, made.vips[0].moves) == ("sip1", "sip2", (("sip1", "sip2"),))


def test_only_the_standby_changes_and_no_vip_moves() -> None:
    made = plan(*LIVE, file("sip2"), *SORTED)
    assert steps(made) == ["sip2 opensips restarts"]
    assert made.vips[0].moves == ()
    assert made.steps[0].clients.startswith("nothing")


def test_routes_alone_are_reloaded_and_no_vip_moves() -> None:
    takes = [event(host, action="sipha.cluster.opensips_mi", command="reload_routes") for host in ("sip2", "sip1")]
    made = plan(*LIVE, file("sip1"), file("sip2"), *SORTED, *takes)
    assert steps(made) == ["sip2 opensips is reloaded", "sip1 opensips is reloaded"]
    assert [vip.moves for vip in made.vips] == [()]


def test_another_command_to_the_engine_is_no_reload_of_routes() -> None:
    made = plan(*LIVE, file("sip1"), *SORTED, event("sip1", action="sipha.cluster.opensips_mi", command="ds_reload"))
    assert "sip1 opensips restarts" in steps(made)


def test_a_staged_script_counts_as_a_changed_file() -> None:
    result = {"id": "1" * 12, "active": "2" * 12, "changed": True, "invocation": {"module_args": {"state": "installed"}}}
    kept = extract("sipha.cluster.opensips_release", "changed", result)
    assert kept[0]["found"]["files"] == [{"path": SCRIPT, "content": True}]
    assert "files" not in extract("sipha.cluster.opensips_release", "changed", result | {"active": "1" * 12})[0]["found"]


def test_a_dispatcher_restarts_before_the_engine_beside_it() -> None:
    certificate = file("sip2", "/etc/sipha/media-dispatcher/tls/dispatcher.crt")
    made = plan(*LIVE, watch("sip2", "mediaproxy-dispatcher.service"), certificate, file("sip2"), *SORTED)
    assert steps(made) == ["sip2 mediaproxy-dispatcher restarts", "sip2 opensips restarts"]


@pytest.mark.parametrize(
    ("events", "restarts"),
    [
        ([file("sip2", content=False)], []),  # owner or mode
        ([file("sip2", "/etc/opensips/opensips.cfg.old")], []),  # no service reads it
        ([file("sip2"), service("sip2", "opensips.service", "started", "inactive")], ["sip2 opensips starts"]),
        ([watch("sip2", stale=True)], ["sip2 opensips restarts"]),  # a run before was cut off
        # Such a restart also shows in check mode; it is not told twice.
        ([watch("sip2", stale=True), service("sip2", "opensips.service", "restarted")], ["sip2 opensips restarts"]),
    ],
)
def test_what_restarts_an_engine(events: list[Event], restarts: list[str]) -> None:
    assert steps(plan(*LIVE, *events, *SORTED)) == restarts


def test_a_run_that_has_no_restarts_says_so() -> None:
    made = plan(*LIVE, file("sip2"))
    assert made.steps == []
    assert made.hosts["sip2"].notes == ["opensips would run with older files than those on the disk: this run does not restart it"]


def test_a_restart_that_was_asked_for() -> None:
    made = plan(carries("sip1", VIP), carries("sip2"), sort_into("sip1", f"{PROXY}holder"), sort_into("sip2", f"{PROXY}standby"))
    assert steps(made) == ["sip2 opensips restarts", "sip1 gives the VIP main to sip2", "sip1 opensips restarts"]
    assert made.steps[0].why == (ASKED_FOR,)


def test_two_vips_on_two_proxies() -> None:
    second = "198.18.10.20"
    vips = [
        {"name": "main", "address": f"{VIP}/24", "router_id": 51, "preferred": ["sip1", "sip2"]},
        {"name": "other", "address": f"{second}/24", "router_id": 52, "preferred": ["sip2", "sip1"]},
    ]
    live = [carries("sip1", VIP), carries("sip2", second), watch("sip1"), watch("sip2")]
    made = plan(*live, file("sip1"), file("sip2"), *SORTED, overlay={"sipha_vips": vips})
    assert steps(made) == [
        "sip1 gives the VIP main to sip2",
        "sip1 opensips restarts",
        "sip2 gives the VIP main to sip1",
        "sip2 gives the VIP other to sip1",
        "sip2 opensips restarts",
        "sip1 gives the VIP other to sip2",
    ]
    assert [(vip.before, vip.after) for vip in made.vips] == [("sip1", "sip1"), ("sip2", "sip2")]
    assert f"other ({second}) from sip2 to sip1 to sip2" in render(made)


def test_two_vips_stay_where_they_are_when_not_all_proxies_take_part() -> None:
    vips = [
        {"name": name, "address": f"198.18.10.{last}/24", "router_id": last, "preferred": ["sip1", "sip2"]}
        for name, last in (("a", 10), ("b", 20))
    ]
    gone = [event("sip2", "unreachable", message="no route"), stats(sip2="unreachable")]
    made = plan(carries("sip1", VIP, "198.18.10.20"), watch("sip1"), file("sip1"), SORTED[0], *gone, overlay={"sipha_vips": vips})
    assert [step.target for step in made.steps] == ["", "", ""]


def test_nobody_to_give_the_vip_to() -> None:
    made = plan(LIVE[0], watch("sip1"), file("sip1"), SORTED[0], hosts=["sip1"])
    assert steps(made)[0] == "sip1 can't give the VIP main to anybody"
    assert "ends here with an error" in made.steps[0].clients
    assert made.vips[0].moves == ()


def test_databases_restart_one_at_a_time_by_name_and_before_the_proxies() -> None:
    certificates = [file(host, "/etc/sipha/pki/host.crt") for host in ("db3", "db1", "db2")]
    looks = [watch(host, "mariadb.service") for host in ("db2", "db3", "db1")]
    groups = [sort_into(host, f"{DATABASE}current") for host in ("db3", "db1", "db2")]
    made = plan(*LIVE, *certificates, *looks, *groups, file("sip2"), *SORTED)
    assert steps(made) == [*(f"db{number} mariadb restarts" for number in (1, 2, 3)), "sip2 opensips restarts"]
    assert all(step.alone for step in made.steps)
    assert "503" in made.steps[0].clients
    assert "1. db1, db2, db3, one after the other: mariadb restarts" in render(made)


def test_relays_drain_after_the_proxies() -> None:
    changed = [file("relay2", "/etc/sipha/media-relay/config.ini"), watch("relay2", "mediaproxy-relay.service")]
    made = plan(*LIVE, *changed, file("sip2"), *SORTED, sort_into("relay2", f"{RELAY}current"))
    assert steps(made) == ["sip2 opensips restarts", "relay2 mediaproxy-relay restarts"]
    assert "last call" in made.steps[1].clients


def test_services_that_no_play_restarts_are_told_where_they_happen() -> None:
    restarts = [service(host, "sipha-agent.service", "restarted") for host in ("sip1", "sip2")]
    made = plan(*LIVE, *restarts, service("sip1", "keepalived.service", "reloaded"), file("sip2"), *SORTED)
    assert steps(made) == [
        "sip1 sipha-agent restarts",
        "sip2 sipha-agent restarts",
        "sip1 keepalived is reloaded",
        "sip2 opensips restarts",
    ]
    assert "1. sip1, sip2: sipha-agent restarts" in render(made)
    assert not [step for step in made.steps if step.clients == "not known"]


def test_a_service_that_is_only_enabled_is_no_interruption() -> None:
    made = plan(*LIVE, service("sip1", "opensips.service", "started"))
    assert made.steps == []
    assert [str(change) for change in made.hosts["sip1"].changes] == ["opensips is enabled"]


def test_data_and_what_the_engine_does_with_it() -> None:
    made = plan(
        *LIVE,
        event(
            "db1",
            action="sipha.cluster.sip_data",
            counts={"subscriber": {"inserted": 2, "updated": 0, "deleted": 1}, "domain": {"inserted": 0}},
        ),
        event("db1", action="sipha.cluster.sip_schema", actions=["create table x"]),
        event("sip1", action="sipha.cluster.opensips_mi", command="domain_reload"),
    )
    assert [str(change) for change in made.hosts["db1"].changes] == ["table subscriber (2 inserted, 1 deleted)", "create table x"]
    assert steps(made) == ["sip1 opensips reads its tables anew"]


def test_what_is_done_on_the_controller() -> None:
    made = plan(*LIVE, event("sip1", delegate="localhost", files=[{"path": "/ca.pem", "content": True}]))
    assert [str(change) for change in made.hosts[CONTROLLER].changes] == ["/ca.pem"]
    assert made.hosts["sip1"].changes == []
    assert "would change 0 of 7 hosts" in render(made)


# New hosts and ends


def installed(host: str, *packages: str) -> Event:
    return event(host, "ok", "ansible.builtin.set_fact", installed=list(packages))


def test_new_hosts_fail_a_check_and_are_no_problem() -> None:
    failed = event("db3", "failed", "ansible.builtin.systemd_service", message="Could not find the requested service chrony: host")
    made = plan(*LIVE, installed("db1", "mariadb-server"), installed("db3"), file("db3"), failed, stats(db3="failed"))
    assert made.complete
    assert made.hosts["db3"].new
    assert made.hosts["db3"].changes == []
    assert "db3: databases\n  is new: everything is installed and started" in render(made)


def test_a_first_build() -> None:
    made = plan(*(installed(host) for host in HOSTS), stats(**dict.fromkeys(HOSTS, "failed")))
    assert made.complete
    assert made.changing == HOSTS
    assert "No host has the software yet" in render(made)


def test_a_host_that_is_new_in_one_of_its_groups() -> None:
    events = [installed("sip1", "opensips"), event("sip1", "failed", task="Run | Start the relay", message="no"), stats(sip1="failed")]
    groups = {"relays": ["sip1", "relay1", "relay2"]}
    inventory = overlaid({"groups": groups})
    made = build(model(inventory), events, HOSTS)
    assert made.hosts["sip1"].missing == ("relays",)
    assert not made.hosts["sip1"].new
    assert made.hosts["sip1"].notes == ["not looked at: what comes after 'Start the relay', which needs the new software"]
    assert made.complete


def test_the_look_without_new_hosts_is_added_to_what_is_known_of_them() -> None:
    first = [installed("db3"), *LIVE, event("db3", "failed", message="no service"), stats(db3="failed", sip1="failed")]
    made = plan(*only(first, {"db3"}), *LIVE, file("sip2"), *SORTED, stats())
    assert made.complete
    assert made.hosts["db3"].new
    assert steps(made) == ["sip2 opensips restarts"]


def test_a_relay_of_another_kind_is_no_new_host() -> None:
    made = plan(installed("relay1", "mediaproxy-relay"), overlay={"sipha_media_relay": "rtpengine"})
    assert (made.hosts["relay1"].missing, made.hosts["relay1"].new) == (("relays",), False)
    assert "new in relays: all that belongs to it is installed and started" in render(made)


@pytest.mark.parametrize(("relay", "lacks"), [("mediaproxy", True), ("rtpengine", False), ("none", False)])
def test_the_relay_that_is_chosen_counts(relay: str, lacks: bool) -> None:
    topology = model(overlaid({"all": {"sipha_media_relay": relay}}))
    assert bool(missing_groups(topology, [installed("relay1", "rtpengine-daemon")])) == lacks


def test_an_unexpected_end_is_a_problem_and_the_rest_is_told() -> None:
    failed = event("db1", "failed", task="Galera | Votes", message="The number of votes is even")
    made = plan(*LIVE, installed("db1", "mariadb-server"), file("sip2"), failed, stats(db1="failed"))
    assert not made.complete
    assert "db1, Configure the proxies, Galera | Votes: The number of votes is even" in render(made)
    assert SCRIPT in render(made)
    assert "nothing to change" not in render(made)


def test_an_unreachable_new_host_is_a_problem_too() -> None:
    made = plan(installed("db3"), event("db3", "unreachable", message="no route"), stats(db3="unreachable"))
    assert [(problem.host, problem.unreachable) for problem in made.problems] == [("db3", True)]


def test_an_unreachable_proxy_gets_no_vip() -> None:
    gone = [event("sip2", "unreachable", message="no route"), stats(sip2="unreachable")]
    assert steps(plan(LIVE[0], watch("sip1"), file("sip1"), SORTED[0], *gone))[0] == "sip1 can't give the VIP main to anybody"


def test_what_a_rescue_took_care_of_is_no_problem() -> None:
    assert (
        problems(
            [event("db1", "failed", message="no"), {"kind": "stats", "hosts": {"db1": {"failures": 0, "unreachable": 0, "rescued": 1}}}]
        )
        == {}
    )


# The same as the project does it


def test_the_groups_are_those_that_the_plays_use() -> None:
    for prefix, path in (
        (PROXY, "playbooks/restart_proxies.yml"),
        (RELAY, "playbooks/restart_relays.yml"),
        (DATABASE, "roles/galera/tasks/mark.yml"),
    ):
        assert f'key: "{prefix}' in (ROOT / path).read_text()


@pytest.mark.parametrize("name", ["database", "restart_proxies", "restart_relays"])
def test_plays_that_restart_take_one_host_at_a_time_by_name(name: str) -> None:
    plays = [play for play in yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text()) if "serial" in play]
    assert plays
    assert all((play["serial"], play["order"]) == (1, "sorted") for play in plays)


def test_every_service_that_is_restarted_says_what_clients_notice() -> None:
    assert {(name, "restart") for name in RESTARTED_BY} <= set(EFFECTS)
    used = {path.parent.parent.name for path in (ROOT / "roles").glob("*/tasks/*.yml") if "sipha.cluster.unit}" in path.read_text()}
    assert used == {"opensips", "media_dispatcher", "media_relay", "rtpengine"}


def test_ringing_calls_are_told_as_the_documentation_tells_them() -> None:
    survive = "When the VIP moves in good order ringing calls go on too" in " ".join((ROOT / "docs/failover.md").read_text().split())
    assert ("also those that ring in that moment" in MOVE_PLANNED) == survive


def every_task(node: Any) -> Iterator[dict[str, Any]]:
    """All tasks in a file of tasks or plays, also those in blocks."""
    for entry in node or []:
        for part in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from every_task(entry.get(part))
        yield entry


def test_what_runs_in_check_mode_as_well_only_looks() -> None:
    """`check_mode: false` is for questions: commands that are marked as changing nothing, and reads over HTTP."""
    asks = {"ansible.builtin.command", "ansible.builtin.shell", "ansible.builtin.uri"}
    asked = 0
    for path in sorted(
        [*(ROOT / "roles").glob("*/tasks/*.yml"), *(ROOT / "roles").glob("*/handlers/*.yml"), *(ROOT / "playbooks").glob("*.yml")]
    ):
        for task in every_task(yaml.safe_load(path.read_text())):
            if task.get("check_mode") is False:
                asked += 1
                assert asks & set(task), f"{path}: {task.get('name')}"
                assert task.get("changed_when") is False or "ansible.builtin.uri" in task, f"{path}: {task.get('name')}"
                assert task.get("ansible.builtin.uri", {}).get("method", "GET") == "GET", f"{path}: {task.get('name')}"
    assert asked > 10


# Recorded runs


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.jsonl")), ids=lambda path: path.stem)
def test_recorded_runs_read_as_they_did(path: Path) -> None:
    events = [json.loads(line) for line in path.read_text().splitlines()]
    made = plan(*events)
    assert json.loads(json.dumps(made.as_dict()))["playbook"] == "site.yml"
    assert render(made) + "\n" == path.with_suffix(".txt").read_text()


def test_the_documentation_shows_a_recorded_run() -> None:
    assert f"```\n{(RECORDED / 'settings.txt').read_text()}```" in (ROOT / "docs/plan.md").read_text()
