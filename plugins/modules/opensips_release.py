#!/usr/bin/python
"""Ansible module: releases of OpenSIPS' configuration script on one host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensips_release
short_description: Releases of OpenSIPS' configuration script on one host
version_added: 0.1.0
author: The sipha.cluster founders (@sipha)
description:
  - Keeps several scripts side by side under O(root)C(/releases/<id>), and has C(opensips.cfg) lead to one of them through the
    link C(current). Going back is the change of one link.
  - An id has 12 hexadecimal digits and stands for all file names and contents. The same script has the same id on every host.
  - C(opensips.cfg) leads to a whole script at every moment, also when the run or the host dies in the middle. The next run ends
    what was begun or takes it back.
  - When C(opensips.cfg) is no link of this module (a host from before releases, or somebody replaced it), the first activation
    keeps it as a release of its own, so that one can go back to it.
  - Nothing here restarts or reloads the engine, which reads its script at its start only.
  - The files may hold a password. They are never readable by others than O(owner) and O(group), and are neither in messages nor
    in a diff; only O(state=read) returns them.
attributes:
  check_mode:
    support: full
    description: Says what would change, and changes nothing. O(validate) is not run.
  diff_mode:
    support: none
    description: A script holds secrets.
options:
  state:
    description:
      - V(installed) has a release with O(files), does not activate it, and removes releases that are too old.
      - V(active) activates O(release).
      - V(listed) returns what is there.
      - V(read) returns the files of O(release). Use it with C(no_log) set to true.
      - V(noted) writes O(note), how far an upgrade has come. V(cleared) removes it.
      - V(installed), V(active) and V(noted) fail when another run is changing the same directory at that moment.
    type: str
    required: true
    choices: [installed, active, listed, read, noted, cleared]
  root:
    description: The engine's directory of configuration.
    type: path
    default: /etc/opensips
  owner:
    description: Owner of what is written.
    type: str
    default: root
  group:
    description: Group of what is written, the engine's. Directories get mode 0750, files 0640.
    type: str
    default: opensips
  files:
    description: All files of the script. One must be C(opensips.cfg). Needed by O(state=installed).
    type: list
    elements: dict
    suboptions:
      name:
        description: File name without a folder. At most 100 letters, digits, C(.), C(_), C(-), with no C(.) or C(-) in front.
        type: str
        required: true
      content:
        description: The text itself. It is never logged.
        type: str
        required: true
  origin:
    description:
      - Text kept with a new release, such as the version of the engine it is for. No secret belongs in it.
      - It is no part of the id; a release that is there keeps the text it has.
    type: str
    default: ""
  keep:
    description:
      - How many releases stay, 2 to 50, those that were installed or active last.
      - The active one, the one that V(previous) means and those of an upgrade in flight stay as well.
    type: int
    default: 5
  validate:
    description:
      - Command that must accept the script (C(%s)), which lies in a directory of its own with all O(files). No shell is used.
      - It is run before the release is there for anyone. When it does not end with code 0, the task fails with its last 20 lines
        and leaves nothing behind.
      - A release that is there and intact is not checked again.
    type: str
  validate_always:
    description: Check a release that is there and intact as well, for example after an upgrade of the engine.
    type: bool
    default: false
  secrets:
    description: What is replaced by C(***) where O(validate)'s command repeats it.
    type: list
    elements: str
    default: []
  release:
    description:
      - An id. Needed by O(state=active) and O(state=read).
      - V(previous) is the release that was active last before the active one, is still there and was not marked as failed.
      - V(active) with O(state=read) is the active release, or C(opensips.cfg) as it is when it belongs to no release.
      - V(previous) means another release after each activation. A playbook that may run again uses an id.
    type: str
  why:
    description: Text kept in the history with the activation.
    type: str
    default: ""
  failed:
    description:
      - Text. Marks the release that is being left as failed, so that V(previous) never means it.
      - Activating that release again, by its id, removes the mark.
    type: str
    default: ""
  note:
    description: How far an upgrade has come. Needed by O(state=noted).
    type: dict
    suboptions:
      id:
        description: The release it goes to.
        type: str
        required: true
      from:
        description: The release that was active before; not set when there was none.
        type: str
      step:
        description: The step that comes next, as text.
        type: str
        required: true
      drained:
        description: Names of the VIPs that were taken from this host.
        type: list
        elements: str
        default: []
"""

EXAMPLES = r"""
- name: The script as a release, accepted by the engine's own parser
  sipha.cluster.opensips_release:
    state: installed
    files:
      - {name: opensips.cfg, content: "{{ lookup('ansible.builtin.template', 'opensips.cfg.j2') }}"}
    origin: OpenSIPS 3.6
    validate: /usr/sbin/opensips -C -f %s
    secrets: ["{{ sipha_secret_db_engine }}"]
  register: installed

- name: Activate it; a restart of the engine belongs behind this
  sipha.cluster.opensips_release:
    state: active
    release: "{{ installed.id }}"
    why: site.yml

- name: Go back, because calls fail
  sipha.cluster.opensips_release:
    state: active
    release: previous
    why: rollback.yml
    failed: no call went through

- name: What is there
  sipha.cluster.opensips_release:
    state: listed
  register: releases

- name: The script that runs, to compare another with it
  sipha.cluster.opensips_release:
    state: read
    release: active
  register: running
  no_log: true

- name: Before VIPs are moved away
  sipha.cluster.opensips_release:
    state: noted
    note: {id: "{{ installed.id }}", from: "{{ releases.active.id }}", step: drain, drained: []}

- name: The upgrade is done
  sipha.cluster.opensips_release:
    state: cleared
"""

RETURN = r"""
id:
  description: The release. None with O(state=read) when C(opensips.cfg) belongs to no release.
  returned: states installed, active, read
  type: str
  sample: 3f9a1c20b7de
active:
  description:
    - With O(state=installed) the id of the active release, or none.
    - With O(state=listed) a dict with C(id), C(since) and C(why), each none when it is not known.
  returned: states installed, listed
  type: raw
validated:
  description: Whether O(validate) was run and accepted the script.
  returned: state installed
  type: bool
repaired:
  description: Whether the release was there, but not as it should be (content, owner or mode), and was put right.
  returned: state installed
  type: bool
removed:
  description: Ids of releases that were removed because they are too old.
  returned: state installed
  type: list
  elements: str
previous:
  description:
    - With O(state=active) the release that was active before this one, or none.
    - With O(state=listed) the release that V(previous) would mean, or none.
  returned: states active, listed
  type: str
adopted:
  description: The release that a C(opensips.cfg) of no release has become, or none.
  returned: state active
  type: str
found:
  description: What C(opensips.cfg) is. V(link) leads to the active release, V(file) belongs to no release, V(none) is not there.
  returned: state listed
  type: str
releases:
  description: All releases, the one used last in front.
  returned: state listed
  type: list
  elements: dict
  contains:
    id:
      description: The id.
      type: str
    installed:
      description: When it was installed, UTC; none when its C(release.json) can't be read.
      type: str
    last_active:
      description: When it was activated or left last, UTC; none when it was never active.
      type: str
    failed:
      description: None, or C(at) and C(why) of the activation that was undone.
      type: dict
    damaged:
      description: Whether files are not what was installed, for example edited by hand. Installing the same content repairs it.
      type: bool
    differs:
      description: Names of those files.
      type: list
      elements: str
    origin:
      description: The text given at its installation.
      type: str
history:
  description: The last 50 activations, the newest last, each with C(id), C(at), C(previous), C(why).
  returned: state listed
  type: list
  elements: dict
unfinished:
  description: None, or what was noted of an upgrade in flight, C(id), C(from), C(step), C(drained), and C(at), when it was noted.
  returned: state listed
  type: dict
files:
  description: Name and content of each file as it is on the host. Bytes that are no UTF-8 are replaced.
  returned: state read
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sipha.cluster.plugins.module_utils.release import Store, validator
from ansible_collections.sipha.cluster.plugins.module_utils.release_io import ReleaseError
from ansible_collections.sipha.cluster.plugins.module_utils.release_state import checked_files


def result(module: AnsibleModule, store: Store) -> dict[str, Any]:
    wanted = module.params

    def run(words: list[str]) -> tuple[int, str]:
        code, out, err = module.run_command(words, handle_exceptions=False, expand_user_and_vars=False)
        return code, f"{out}\n{err}"

    if wanted["state"] == "installed":
        check = validator(wanted["validate"], run, wanted["secrets"]) if wanted["validate"] else None
        return vars(store.install(checked_files(wanted["files"]), wanted["origin"], wanted["keep"], check, wanted["validate_always"]))
    if wanted["state"] == "active":
        done = store.activate(wanted["release"], wanted["why"], wanted["failed"])
        for warning in done.warnings:
            module.warn(warning)
        return {"changed": done.changed, "id": done.id, "previous": done.previous, "adopted": done.adopted}
    if wanted["state"] == "listed":
        return {"changed": False, **store.listed()}
    if wanted["state"] == "read":
        found, files = store.read(wanted["release"])
        texts = [{"name": name, "content": content.decode(errors="replace")} for name, content in sorted(files.items())]
        return {"changed": False, "id": found, "files": texts}
    if wanted["state"] == "noted":
        note = wanted["note"]
        return {"changed": store.note(note["id"], note["from"], note["step"], note["drained"])}
    return {"changed": store.clear()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": ["installed", "active", "listed", "read", "noted", "cleared"]},
            "root": {"type": "path", "default": "/etc/opensips"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "opensips"},
            "files": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "content": {"type": "str", "required": True, "no_log": True},
                },
            },
            "origin": {"type": "str", "default": ""},
            "keep": {"type": "int", "default": 5},
            "validate": {"type": "str"},
            "validate_always": {"type": "bool", "default": False},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "release": {"type": "str"},
            "why": {"type": "str", "default": ""},
            "failed": {"type": "str", "default": ""},
            "note": {
                "type": "dict",
                "options": {
                    "id": {"type": "str", "required": True},
                    "from": {"type": "str"},
                    "step": {"type": "str", "required": True},
                    "drained": {"type": "list", "elements": "str", "default": []},
                },
            },
        },
        required_if=[
            ("state", "installed", ["files"]),
            ("state", "active", ["release"]),
            ("state", "read", ["release"]),
            ("state", "noted", ["note"]),
        ],
        supports_check_mode=True,
    )
    store = Store(module.params["root"], module.params["owner"], module.params["group"], module.check_mode)
    try:
        outcome = result(module, store)
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['root']}: {error.strerror}")
    module.exit_json(**outcome)


if __name__ == "__main__":
    main()
