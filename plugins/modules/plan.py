#!/usr/bin/python
"""Documentation of the action plugin plan."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: What a run of site.yml would change, restart and move, without changing anything
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Runs a playbook with C(--check --diff) on the same inventory, with the options of the running C(ansible-playbook). From that it tells
    what would change on which host, which services restart in what order, which VIPs move, and what clients notice.
  - Restarts follow the collection's own rules. A service is restarted when a file that it reads at its start would change, or is newer
    than its start; proxies without a VIP first, then its holder, relays and databases one at a time.
  - Hosts that have no software yet are reported as new. The others are then looked at without them.
  - Never fails because of what it finds. RV(plan) has C(complete) false where the check run ended early, and C(problems) say where.
    It fails when the check run tells nothing at all, as with a playbook that can't be read.
  - Extra variables and passwords are handed on in files that only their owner can read, and that are removed.
  - Run it once, in a play over the hosts to plan for. It connects to no host itself. This is an action plugin, nothing is copied to hosts.
  - Tasks with the tag C(check) are left out, they judge a cluster that has been changed.
options:
  playbook:
    description: The playbook. Not set, C(site.yml) of this collection.
    type: path
attributes:
  check_mode:
    support: full
    description: The same, since it changes nothing.
"""

EXAMPLES = r"""
- name: Ask before the cluster is changed
  hosts: proxies:databases:arbitrators:relays
  gather_facts: false
  tasks:
    - name: Look
      sipha.cluster.plan:
      register: look
      run_once: true

    - name: No VIP moves during the day
      ansible.builtin.assert:
        that:
          - look.plan.complete
          - look.plan.vips | map(attribute='moves') | flatten | length == 0
        fail_msg: "{{ look.text }}"
      run_once: true
"""

RETURN = r"""
plan:
  description:
    - C(playbook), C(complete), C(changes); C(hosts) by name, each with groups, new, missing (groups whose software it lacks), seen,
      changes (kind, what, detail) and notes.
    - C(steps) are what happens to services and VIPs in the order of the run, each with number, host, service, action (restart, reload,
      start, stop, data, move), clients (what they notice), why, alone (one host at a time), target (of a moved VIP) and play.
    - C(vips) have name, address, before and after (holders, empty is nobody) and moves.
    - C(problems) have host, play, task, message and unreachable.
  returned: success
  type: dict
text:
  description: The same for people.
  returned: success
  type: str
"""
