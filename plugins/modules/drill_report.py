#!/usr/bin/python
"""Ansible module: judges drills by what their observers wrote down, and writes the report."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_report
short_description: Judge failover drills and write their report
version_added: 0.1.0
description:
  - Takes what the observers of each drill wrote down, compares it with the budgets, and writes a self-contained HTML page, JSON, JUnit XML,
    and an index page of all runs in the same directory with their trend.
  - A number that was not measured has failed. So has a drill whose fault was not confirmed, or not healed, or whose probe was over a
    second late. A probe that was less late gives a time that may be off by so much, and passes or fails where that makes no difference.
  - Never fails because a drill has failed; ask RV(passed). It fails on input that is wrong, which it names, and when it can't write.
  - Runs where the files are to be, usually on the controller (C(delegate_to=localhost)).
author: The sipha.cluster founders (@sipha)
options:
  directory:
    description: Where reports are, made when missing. Each run has files of its own name there.
    type: path
    required: true
  run:
    description: Name of the run, up to 64 letters, digits, dots, underscores and dashes; C(index) is taken.
    type: str
    required: true
  cluster:
    description: Name of the cluster.
    type: str
    required: true
  drills:
    description: The drills, in the order of the run. The same drill may be there several times.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the drill, one of those in C(docs/drills_reading.md).
        type: str
        required: true
      observations:
        description:
          - What was seen; every part may be missing, what it says is then not measured. Times are seconds since 1970.
          - C(faults) is a list of mappings with C(name), C(host), C(start), C(end) (healed) and C(confirmed) (somebody looked).
          - C(probes) maps C(options), C(register), C(write), C(options_tcp), C(register_tcp), C(options_v6), C(register_v6) to lists of
            lines as M(sipha.cluster.sip_probe) writes them.
          - C(holders), C(pingers) and C(relays) are lists of samples C([time, host, name, true or false]), C(proxies) is who must have
            been asked about the first two.
          - C(audio_gap) is the longest time without audio, C(calls) has C(up), C(ended), C(silent), C(attempts), C(failed), C(cut_off);
            C(last_ended) lists the calls that ended in the half second before the fault;
            C(kept) maps C(location), C(cdrs), C(rows) to the lists C(before) and C(after) of their keys;
            C(changes) is what C(site.yml) changed afterwards; C(stopped) says why a drill could not be done to its end, which fails it.
          - C(offsets) says how many seconds the clock of a host is ahead of the probe's, C(max_lag) how late the probe may be (0.1 s).
        type: dict
        default: {}
      files:
        description: For each of C(probes), C(holders), C(pingers) and C(relays), a file of such lines instead, or a list of files.
        type: dict
        default: {}
  budgets:
    description:
      - Usually C(sipha_drill_budgets). Maps a drill, or C(all), to measures to the largest value that passes, or null to measure
        without judging. Names that do not exist are an error.
    type: dict
    default: {}
  versions:
    description: Programs and their versions, for the report.
    type: dict
    default: {}
  drawing:
    description: The inventory's picture as SVG. It is shown as an image, nothing in it can run.
    type: str
    default: ""
  append:
    description: Add the drills to those that a run of that name has already, so that a report grows while the run goes on.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Judges, and writes nothing.
"""

EXAMPLES = r"""
- name: Judge what clients saw
  sipha.cluster.drill_report:
    directory: "{{ playbook_dir }}/reports"
    run: "{{ now(utc=true).strftime('%Y%m%dT%H%M%S') }}"
    cluster: "{{ sipha_cluster_name }}"
    budgets: "{{ sipha_drill_budgets | default({}) }}"
    drills:
      - name: host_killed
        observations: "{{ drill_observations }}"
        files:
          options: /tmp/drill/options.jsonl
          register: /tmp/drill/register.jsonl
          holders: [/tmp/drill/sip1-holders.jsonl, /tmp/drill/sip2-holders.jsonl]
  delegate_to: localhost
  register: report

- name: The drill has passed
  ansible.builtin.assert:
    that: report.passed
    fail_msg: "{{ report.verdicts | map(attribute='text') | join('\n') }}"
"""

RETURN = r"""
passed:
  description: Whether every drill of this call has passed.
  type: bool
  returned: success
verdicts:
  description:
    - One for each drill of this call, with C(drill), C(passed), C(text) (a line for the terminal), C(reasons) (sentences, empty when it
      has passed), C(problems) (why it was no drill at all) and C(lines).
    - Each line has C(measure), C(title), C(passed) (null is not judged), C(value) (null is not measured), C(allowed), C(unit),
      C(sentence) and C(detail).
  type: list
  elements: dict
  returned: success
files:
  description: Paths of C(html), C(json), C(junit) and C(index).
  type: dict
  returned: success, not in check mode
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sipha.cluster.plugins.module_utils.drill.observations import OBSERVERS, ObservationError
from ansible_collections.sipha.cluster.plugins.module_utils.drill.report_files import IDENTIFIER, load, write
from ansible_collections.sipha.cluster.plugins.module_utils.drill.report_run import RunError, drill_result, run

SAMPLED = ("holders", "pingers", "relays")


def lines_of(name: str, paths: Any) -> list[str]:
    """All lines of one or several files. ObservationError names the file."""
    found: list[str] = []
    for path in [paths] if isinstance(paths, str) else paths if isinstance(paths, list) else [""]:
        try:
            found += Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
        except (OSError, TypeError) as error:
            raise ObservationError(f"files: {name} can't be read from {path!r}: {error}") from error
    return found


def gathered(observations: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    """The observations with what is in files."""
    result, probes = dict(observations), {name: lines_of(name, paths) for name, paths in files.items() if name in OBSERVERS}
    if probes:
        result["probes"] = {**(observations.get("probes") or {}), **probes}
    for name, paths in files.items():
        if name in OBSERVERS:
            continue
        if name in SAMPLED:
            result[name] = samples_of(name, lines_of(name, paths))
        else:
            raise ObservationError(f"files: there is no {name!r}; there are {', '.join((*OBSERVERS, *SAMPLED))}")
    return result


def samples_of(name: str, rows: list[str]) -> list[Any]:
    """JSON lines; a line that was cut off, because its host died, is left out."""
    found = []
    for row in rows:
        try:
            found.append(json.loads(row))
        except ValueError:
            if row.strip().endswith("]"):
                raise ObservationError(f"files: {name} has a line that is no sample: {row[:80]}") from None
    return found


def main() -> None:
    drill = {
        "name": {"type": "str", "required": True},
        "observations": {"type": "dict", "default": {}},
        "files": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "run": {"type": "str", "required": True},
            "cluster": {"type": "str", "required": True},
            "drills": {"type": "list", "elements": "dict", "required": True, "options": drill},
            "budgets": {"type": "dict", "default": {}},
            "versions": {"type": "dict", "default": {}},
            "drawing": {"type": "str", "default": ""},
            "append": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    arguments, directory = module.params, Path(module.params["directory"])
    if not IDENTIFIER.match(arguments["run"]):
        module.fail_json(msg=f"run is {arguments['run']!r}, set it to 1 to 64 letters, digits, dots, underscores and dashes, not to index")
    before = directory / f"{arguments['run']}.json"
    try:
        results = [
            drill_result(one["name"], gathered(one["observations"], one["files"]), arguments["budgets"]) for one in arguments["drills"]
        ]
        earlier = load(before)["drills"] if arguments["append"] and before.exists() else []
    except RunError as error:
        module.fail_json(msg=f"can't add to {before}: {error}")
    except ValueError as error:  # of budgets and observations: it names the variable
        module.fail_json(msg=str(error))
    keys = ("passed", "text", "reasons", "problems", "lines")
    result: dict[str, Any] = {
        "passed": all(one["passed"] for one in results) and bool(results),
        "verdicts": [{"drill": one["name"], **{key: one[key] for key in keys}} for one in results],
    }
    if not module.check_mode:
        whole = run(arguments["run"], arguments["cluster"], arguments["versions"], [*earlier, *results])
        try:
            result["files"] = write(directory, whole, arguments["drawing"])
        except OSError as error:
            module.fail_json(msg=f"can't write to {directory}: {error.strerror}", **result)
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
