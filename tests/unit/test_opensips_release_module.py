"""The module opensips_release as Ansible runs it: arguments in, JSON out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.sipha.cluster.plugins.modules import opensips_release
from release_base import GROUP, SECRET, USER

TEXT = f"# db_url mysql://opensips:{SECRET}@127.0.0.1/opensips\n"
FILES = [{"name": "opensips.cfg", "content": TEXT}, {"name": "routes.cfg", "content": "# routes\n"}]
OTHER = [{"name": "opensips.cfg", "content": f"# other {SECRET}\n"}]


class Module:
    """Runs the module; the secret must not be in what it says, but for state `read`."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys

    def __call__(self, state: str, rc: int = 0, **options: Any) -> dict[str, Any]:
        arguments = {"state": state, "root": str(self.root), "owner": USER, "group": GROUP, "_ansible_diff": True, **options}
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            opensips_release.main()
        said = self.capsys.readouterr()
        assert ended.value.code == rc, said.out + said.err
        assert state == "read" or SECRET not in said.out + said.err
        return dict(json.loads(said.out))


@pytest.fixture
def module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Module:
    return Module(tmp_path / "opensips", capsys)


def tree(root: Path) -> list[tuple[str, int, bytes]]:
    return [(str(p), p.lstat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in sorted(root.rglob("*"))]


def test_nothing_is_there(module: Module) -> None:
    said = module("listed")
    assert {key: said[key] for key in ("changed", "active", "found", "releases", "history", "previous", "unfinished")} == {
        "changed": False,
        "active": {"id": None, "since": None, "why": None},
        "found": "none",
        "releases": [],
        "history": [],
        "previous": None,
        "unfinished": None,
    }
    assert not module.root.exists()


def test_from_a_plain_file_to_a_release_and_back(module: Module) -> None:
    module.root.mkdir()
    script = module.root / "opensips.cfg"
    script.write_text("# old\n")
    assert module("listed")["found"] == "file"
    installed = module("installed", files=FILES, origin="OpenSIPS 3.6", validate="grep -q db_url %s", secrets=[SECRET])
    assert (installed["changed"], installed["validated"], installed["active"], installed["removed"]) == (True, True, None, [])
    assert script.read_text() == "# old\n"
    done = module("active", release=installed["id"], why="site.yml")
    assert (done["changed"], done["id"]) == (True, installed["id"])
    assert done["previous"] == done["adopted"] != installed["id"]
    assert script.read_text() == TEXT
    assert not module("active", release=installed["id"])["changed"]
    again = module("installed", files=FILES)
    assert (again["changed"], again["validated"], again["active"]) == (False, False, installed["id"])

    said = module("listed")
    assert (said["active"]["id"], said["active"]["why"], said["previous"]) == (installed["id"], "site.yml", done["adopted"])
    assert [entry["id"] for entry in said["history"]] == [installed["id"]]
    back = module("active", release="previous", why="rollback.yml", failed="no call went through")
    assert (back["changed"], back["id"], back["previous"], back["adopted"]) == (True, done["adopted"], installed["id"], None)
    assert script.read_text() == "# old\n"
    said = module("listed")
    assert {r["id"]: r["failed"] and r["failed"]["why"] for r in said["releases"]} == {
        installed["id"]: "no call went through",
        done["adopted"]: None,
    }
    assert said["previous"] is None
    assert "no earlier release" in module("active", rc=1, release="previous")["msg"]


def test_a_script_that_is_not_accepted_leaves_nothing(module: Module) -> None:
    module("installed", files=OTHER)
    before = tree(module.root)
    said = module("installed", rc=1, files=FILES, validate="sh -c 'cat %s; exit 3'", secrets=[SECRET])
    assert said["msg"] == "sh does not accept the script (exit code 3): # db_url mysql://opensips:***@127.0.0.1/opensips"
    missing = module("installed", rc=1, files=FILES, validate="/nowhere/opensips -C -f %s")["msg"]
    assert missing == "The command of validate, /nowhere/opensips, can't be run: No such file or directory."
    assert [entry[::2] for entry in tree(module.root)] == [entry[::2] for entry in before]
    assert module("installed", files=OTHER, validate="true %s", validate_always=True)["validated"]


def test_damage_is_listed_refused_and_repaired(module: Module) -> None:
    installed = module("installed", files=FILES)["id"]
    module("active", release=installed)
    (module.root / "opensips.cfg").write_text("# edited\n")
    assert [(r["damaged"], r["differs"]) for r in module("listed")["releases"]] == [(True, ["opensips.cfg"])]
    assert f"Release {installed} is damaged" in module("active", rc=1, release=installed)["msg"]
    again = module("installed", files=FILES)
    assert (again["changed"], again["repaired"]) == (True, True)
    assert not module("listed")["releases"][0]["damaged"]


def test_read_returns_the_files(module: Module) -> None:
    installed = module("installed", files=FILES)["id"]
    said = module("read", release=installed)
    assert (said["changed"], said["id"], said["files"]) == (False, installed, FILES)
    assert "no release active" in module("read", rc=1, release="active")["msg"]
    (module.root / "opensips.cfg").write_bytes(b"# \xff\n")
    said = module("read", release="active")
    assert (said["id"], said["files"]) == (None, [{"name": "opensips.cfg", "content": "# \ufffd\n"}])


def test_noted_and_cleared(module: Module) -> None:
    note = {"id": "0" * 12, "from": "1" * 12, "step": "drain", "drained": ["main"]}
    assert module("noted", note=note)["changed"]
    assert not module("noted", note=note)["changed"]
    unfinished = module("listed")["unfinished"]
    assert {key: unfinished[key] for key in note} == note
    assert [module("cleared")["changed"], module("cleared")["changed"]] == [True, False]
    assert module("noted", note={"id": "0" * 12, "step": "install"})["changed"]
    assert (module("listed")["unfinished"]["from"], module("listed")["unfinished"]["drained"]) == (None, [])


def test_check_mode_changes_nothing(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(opensips_release.AnsibleModule, "warn", lambda _self, text: warnings.append(text))
    check = {"_ansible_check_mode": True}
    told = module("installed", files=FILES, group="nobody-has-it", validate="/nowhere/opensips %s", **check)
    assert (told["changed"], told["validated"]) == (True, False)
    activated = module("active", release=told["id"], **check)
    assert activated["changed"]
    assert len(warnings) == 1
    assert "unless a task before this one installs it" in warnings[0]
    assert module("noted", note={"id": told["id"], "step": "drain"}, **check)["changed"]
    assert not module.root.exists()

    installed = module("installed", files=FILES)["id"]
    assert installed == told["id"]
    module("active", release=installed)
    module("noted", note={"id": installed, "step": "drain"})
    before = tree(module.root)
    assert not module("installed", files=FILES, **check)["changed"]
    assert not module("active", release=installed, **check)["changed"]
    assert not module("noted", note={"id": installed, "step": "drain"}, **check)["changed"]
    assert module("installed", files=OTHER, **check)["changed"]
    assert module("cleared", **check)["changed"]
    assert tree(module.root) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": "installed"}, "state is installed but all of the following are missing: files"),
        ({"state": "active"}, "state is active but all of the following are missing: release"),
        ({"state": "noted"}, "state is noted but all of the following are missing: note"),
        ({"state": "installed", "files": FILES, "keep": 1}, "keep is 1, set it to 2 to 50."),
        ({"state": "installed", "files": FILES, "group": "nobody-has-it"}, "There is no group 'nobody-has-it' on this host"),
        ({"state": "installed", "files": FILES, "validate": "true"}, "validate has no %s"),
        ({"state": "installed", "files": FILES[1:]}, "The release has no opensips.cfg"),
        ({"state": "active", "release": "0" * 12}, "There is no release 000000000000 on this host; there are: none."),
        ({"state": "noted", "note": {"id": "previous", "step": "drain"}}, "'previous' can't be a release"),
        ({"state": "installed", "files": FILES, "root": "/proc/none"}, "/proc/none: No such file or directory"),
    ],
)
def test_errors_say_what_is_wrong(module: Module, options: dict[str, Any], message: str) -> None:
    assert message in module(rc=1, **options)["msg"]
    assert not module.root.exists()


def test_documentation_has_the_options_of_the_module(module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    spec: dict[str, Any] = {}

    class Caught(Exception):  # noqa: N818
        pass

    def catch(argument_spec: dict[str, Any], **_options: Any) -> None:
        spec.update(argument_spec)
        raise Caught

    monkeypatch.setattr(opensips_release, "AnsibleModule", catch)
    with pytest.raises(Caught):
        opensips_release.main()

    def shape(options: dict[str, Any], inner: str) -> dict[str, Any]:
        keys = ("type", "elements", "default", "required", "choices")
        return {
            name: {**{k: one[k] for k in keys if k in one}, "options": shape(one.get(inner, {}), inner)} for name, one in options.items()
        }

    documented = yaml.safe_load(opensips_release.DOCUMENTATION)["options"]
    assert shape(documented, "suboptions") == shape(spec, "options")
