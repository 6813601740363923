#!/usr/bin/python
"""Ansible module: reads what the observers of one drill left in a directory."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_gather
short_description: Read what the observers of a failover drill wrote down
version_added: 0.1.0
description:
  - Turns the files of one drill into the observations that M(sipha.cluster.drill_report) judges. C(playbooks/drill.yml) collects them.
  - A file that is not there is something that was not measured, which a judge counts as failed. A file that can't be read is an error.
  - Runs where the files are, usually on the controller.
author: The sipha.cluster founders (@sipha)
options:
  directory:
    description:
      - Holds C(options.jsonl), C(register.jsonl), C(write.jsonl) (probes), C(look-HOST.jsonl) (hosts that looked at themselves),
        C(caller.jsonl), C(phone.jsonl) (calls), C(fault-HOST-N.json) (what was broken), C(location-before.txt), C(location-after.txt),
        C(cdrs.txt), C(rows.txt) (keys of rows in the database).
    type: path
    required: true
  vips:
    description: Addresses of the VIPs by their names.
    type: dict
    required: true
  proxies:
    description: Names of the proxies, all of which must have looked.
    type: list
    elements: str
    required: true
  end:
    description: When the observers were told to stop, in seconds since 1970. What hosts saw of themselves later is left out.
    type: float
    required: true
attributes:
  check_mode:
    support: full
    description: Nothing is ever changed.
"""

EXAMPLES = r"""
- name: What was seen
  sipha.cluster.drill_gather:
    directory: /srv/drills/20261125T140000/host_killed-1
    vips: {main: 198.18.10.10}
    proxies: [sip1, sip2]
    end: 1795613741.2
  delegate_to: localhost
  register: seen
"""

RETURN = r"""
observations:
  description: For the option of the same name of M(sipha.cluster.drill_report).
  type: dict
  returned: success
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sipha.cluster.plugins.module_utils.drill.collect import collect


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "vips": {"type": "dict", "required": True},
            "proxies": {"type": "list", "elements": "str", "required": True},
            "end": {"type": "float", "required": True},
        },
        supports_check_mode=True,
    )
    given, directory = module.params, Path(module.params["directory"])
    if not directory.is_dir():
        module.fail_json(msg=f"directory is {directory}, which is none")
    try:
        seen = collect(directory, given["vips"], given["proxies"], given["end"])
    except (ValueError, OSError) as error:
        module.fail_json(msg=f"{directory}: {error}")
    module.exit_json(changed=False, observations=seen)


if __name__ == "__main__":
    main()
