#!/usr/bin/python
"""Ansible module: asks a SIP server at a steady rate and tells what a client saw."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sip_probe
short_description: Ask a SIP server at a steady rate and tell what a client saw
version_added: 0.1.0
description:
  - Sends OPTIONS or digest REGISTER at a fixed rate, open loop. When a request leaves depends on the schedule alone, so a stalled server
    can't slow the probe down and hide its outage.
  - Over UDP requests are sent again as RFC 3261 says (timers E and F); over TCP a broken or silent connection is made anew.
  - It measures its own delay too. A probe that was late says so in RV(summary.problem) and RV(summary.kept_schedule) is false.
  - It never fails because of what the server does or does not do. It fails on wrong settings, and when there is no way to the target at
    its start (no route, no such source address).
  - Needs Python 3.11 on the host it runs on, and nothing else. Requests that come to the probe (pings of a registered contact) are
    answered and counted.
  - A REGISTER writes to the target's location table, so I(changed) is true for it; the contact is taken away at the end.
author: The sipha.cluster founders (@sipha)
options:
  target:
    description: IPv4 or IPv6 address to ask. No host name, a name server is no part of the measurement.
    type: str
    required: true
  port:
    description: Port to ask, 1 to 65535.
    type: int
    default: 5060
  transport:
    description: How.
    type: str
    choices: [udp, tcp]
    default: udp
  method:
    description: What to ask.
    type: str
    choices: [OPTIONS, REGISTER]
    default: OPTIONS
  rate:
    description: Requests per second, 0.1 to 500.
    type: float
    default: 50.0
  seconds:
    description: How long requests are sent, 0.1 to 86400 seconds. The module ends when the last one is answered or given up.
    type: float
    default: 10.0
  user:
    description: User part of the address of record that C(REGISTER) registers. It should be the probe's own.
    type: str
    default: ""
  users:
    description:
      - So many users take turns, O(user) with -0, -1, and so on, all with the same password.
      - Registrations of one address of record that are late together get in each other's way, which phones' never do.
    type: int
    default: 1
  domain:
    description: Domain of the address of record. For C(OPTIONS) the domain in the request, the target's address when empty.
    type: str
    default: ""
  password:
    description: Password for digest authentication (MD5 or SHA-256, whatever is the strongest that the server offers).
    type: str
    default: ""
  ha1:
    description: Instead of a password its HA1, 32 hex digits for MD5 or 64 for SHA-256.
    type: str
    default: ""
  expires:
    description: Seconds that the registration is asked for, 1 to 86400.
    type: int
    default: 120
  unregister:
    description: Take the contact away at the end.
    type: bool
    default: true
  retransmit:
    description: Over UDP send again what is not answered (timer E). Without it each request is one packet.
    type: bool
    default: true
  t1:
    description: First interval of timer E in seconds, 0.01 to 5. Each further one is twice as long, up to O(t2).
    type: float
    default: 0.5
  t2:
    description: Longest interval of timer E in seconds, 0.01 to 60.
    type: float
    default: 4.0
  timeout:
    description: Seconds after which a request is lost (timer F), 0.05 to 64.
    type: float
    default: 32.0
  source:
    description: Own address to send from. Empty, the one that the route to the target takes.
    type: str
    default: ""
  any_source:
    description:
      - Accept answers that come from another address or port than was asked. A phone behind NAT would never see them, so without this
        they are not accepted, and RV(summary.errors) names where they came from.
    type: bool
    default: false
  who_header:
    description: The header of an answer that says who answered.
    type: str
    default: Server
  reconnect_after:
    description: Over TCP, seconds (0.1 to 64) after which a connection that gives no answer is made anew. What is in the air is lost then.
    type: float
    default: 1.0
  max_lag:
    description: Seconds (0.001 to 10) that a request may leave late before the probe calls its own measurement worthless.
    type: float
    default: 0.1
  path:
    description:
      - File that gets every record as a line of JSON, as it happens. An older file is replaced. Not set, no file is written.
    type: path
attributes:
  check_mode:
    support: full
    description: The settings are checked, nothing is sent.
"""

EXAMPLES = r"""
- name: What a client of the VIP sees while the drill runs
  sipha.cluster.sip_probe:
    target: 198.18.10.10
    seconds: 20
    path: /run/sipha-drill/options.jsonl
  async: 90
  poll: 0
  register: options

- name: Register twice a second over TCP and IPv6
  sipha.cluster.sip_probe:
    target: 2001:db8::10
    transport: tcp
    method: REGISTER
    rate: 2
    user: drill
    domain: sip.example.org
    password: "{{ drill_password }}"
"""

RETURN = r"""
summary:
  description:
    - Times are seconds, those of a moment since 1970.
    - C(sent), C(answered), C(good) (2xx), C(prompt) (2xx within 0.5 s), C(refused) (another final answer), C(lost) (none, after all
      retransmissions), C(repeated) (needed more than one packet) count requests.
    - C(codes), C(errors) and C(answered_by) (address, port and O(who_header)) count by their text.
    - C(windows) are the times between two promptly and well answered requests with others between them, by the time when they were to
      be sent, each with C(start), C(end), C(seconds), C(missed) and C(closed) (false when it began or ended with the probe).
      C(outage) is the longest of them, 0 when there is none. C(silence) is the longest time without an arriving good answer.
    - C(latency) (of good answers) and C(lag) (how late requests left) have C(median), C(p95), C(p99) and C(max).
    - C(kept_schedule) is false when C(lag) was more than O(max_lag), and C(problem) says it in a sentence.
  type: dict
  returned: success, not in check mode
  contains:
    problem:
      description: Empty, or why this measurement is worth nothing.
      type: str
    kept_schedule:
      description: Whether the probe was in time.
      type: bool
    errors:
      description: Why requests were not answered, and how many of each.
      type: dict
pings:
  description: How many requests (NAT pings) came to the probe, by address and port.
  type: dict
  returned: success, not in check mode
unregistered:
  description: Whether the contact was taken away; null when there was none to take away.
  type: bool
  returned: success, not in check mode
"""

from collections import Counter
from contextlib import ExitStack
from io import FileIO

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sipha.cluster.plugins.module_utils.drill.probe import Probe
from ansible_collections.sipha.cluster.plugins.module_utils.drill.record import Ping, Record, to_line
from ansible_collections.sipha.cluster.plugins.module_utils.drill.settings import Settings, SettingsError
from ansible_collections.sipha.cluster.plugins.module_utils.drill.summary import MAX_LAG, summarise
from ansible_collections.sipha.cluster.plugins.module_utils.drill.transport import TransportError

OPTIONS = {
    "target": {"type": "str", "required": True},
    "port": {"type": "int", "default": 5060},
    "transport": {"type": "str", "choices": ["udp", "tcp"], "default": "udp"},
    "method": {"type": "str", "choices": ["OPTIONS", "REGISTER"], "default": "OPTIONS"},
    "rate": {"type": "float", "default": 50.0},
    "seconds": {"type": "float", "default": 10.0},
    "user": {"type": "str", "default": ""},
    "users": {"type": "int", "default": 1},
    "domain": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "ha1": {"type": "str", "default": "", "no_log": True},
    "expires": {"type": "int", "default": 120},
    "unregister": {"type": "bool", "default": True},
    "retransmit": {"type": "bool", "default": True},
    "t1": {"type": "float", "default": 0.5},
    "t2": {"type": "float", "default": 4.0},
    "timeout": {"type": "float", "default": 32.0},
    "source": {"type": "str", "default": ""},
    "any_source": {"type": "bool", "default": False},
    "who_header": {"type": "str", "default": "Server"},
    "reconnect_after": {"type": "float", "default": 1.0},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**OPTIONS, "max_lag": {"type": "float", "default": MAX_LAG}, "path": {"type": "path"}}, supports_check_mode=True
    )
    arguments = module.params
    try:
        settings = Settings.load({name: arguments[name] for name in OPTIONS})
    except SettingsError as error:
        module.fail_json(msg=str(error))
    if not 0.001 <= arguments["max_lag"] <= 10:
        module.fail_json(msg=f"max_lag is {arguments['max_lag']:g}, set it to 0.001 to 10")
    changed = settings.method == "REGISTER"
    if module.check_mode:
        module.exit_json(changed=changed)
    records: list[Record] = []
    pings: Counter[str] = Counter()
    failed_writes: list[str] = []
    with ExitStack() as stack:
        out: FileIO | None = None

        def write(item: Record | Ping) -> None:
            if isinstance(item, Record):
                records.append(item)
            else:
                pings[item.source] += 1
            if out and not failed_writes:
                try:
                    out.write(f"{to_line(item)}\n".encode())
                except OSError as error:  # the measurement goes on
                    failed_writes.append(f"can't write {arguments['path']}: {error.strerror}")

        try:
            if arguments["path"]:
                out = stack.enter_context(open(arguments["path"], "wb", buffering=0))
            probe = Probe(settings, write)
        except TransportError as error:
            module.fail_json(msg=str(error))
        except OSError as error:
            module.fail_json(msg=f"can't write {arguments['path']}: {error.strerror}")
        probe.run()
    result = {
        "summary": summarise(records, arguments["max_lag"]).to_dict(),
        "pings": dict(pings),
        "unregistered": probe.unregistered,
    }
    if failed_writes:
        module.fail_json(msg=failed_writes[0], **result)
    module.exit_json(changed=changed, **result)


if __name__ == "__main__":
    main()
