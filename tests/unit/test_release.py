"""Releases of a script: what is kept, what goes, what is refused."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils import release_io
from ansible_collections.sipha.cluster.plugins.module_utils.release import Store, masked, utc_now, validator
from ansible_collections.sipha.cluster.plugins.module_utils.release_io import ReleaseError
from ansible_collections.sipha.cluster.plugins.module_utils.release_state import Files, checked_files, digests_of
from release_base import GROUP, OLD, SECRET, USER, A, B, C, Clock, D, E, begin, content, name_of, places, summary


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "opensips"), USER, GROUP, now=Clock())


def test_a_release_is_installed_then_active_then_left_alone(store: Store) -> None:
    first = store.install(A, "OpenSIPS 3.6")
    assert (first.id, first.changed, first.active, first.removed) == (name_of(A), True, None, [])
    assert not Path(store.root, "opensips.cfg").exists()
    done = store.activate(first.id, "because")
    assert (done.id, done.changed, done.previous, done.adopted) == (first.id, True, None, None)
    assert os.readlink(f"{store.root}/opensips.cfg") == "current/opensips.cfg"
    assert os.readlink(f"{store.root}/current") == f"releases/{first.id}"
    assert content(store) == A["opensips.cfg"]
    before = [(path, path.lstat().st_mtime_ns) for path in places(store)]
    again = store.install(A, "another origin")
    assert (again.id, again.changed, again.active, again.repaired) == (first.id, False, first.id, False)
    assert not store.activate(first.id, "again").changed
    assert [(path, path.lstat().st_mtime_ns) for path in places(store)] == before
    said = store.listed()
    assert said["active"] == {"id": first.id, "since": "2026-01-01T00:00:01Z", "why": "because"}
    assert [(r["origin"], r["installed"]) for r in said["releases"]] == [("OpenSIPS 3.6", "2026-01-01T00:00:00Z")]


def test_the_id_stands_for_names_and_contents() -> None:
    ids = [name_of(files) for files in (A, dict(reversed(A.items())), B, {**A, "more": b""}, {"opensips.cfg": b"", "routes.cfg": b""})]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert name_of({"a": b"1", "b": b"2"}) != name_of({"a": b"2", "b": b"1"})


def test_modes_and_owner(store: Store, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        begin(store, A)
    finally:
        os.umask(old)
    for path in (Path(store.root), *places(store)):
        if not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) == (0o750 if path.is_dir() else 0o640), path
    script_path = Path(store.root, "current/opensips.cfg")
    script_path.chmod(0o644)
    assert store.install(A, "").repaired
    assert stat.S_IMODE(script_path.stat().st_mode) == 0o640
    with pytest.raises(ReleaseError, match=r"no group 'nobody-has-it' on this host: install the engine's package"):
        Store(str(tmp_path / "b"), USER, "nobody-has-it").install(A, "")
    with pytest.raises(ReleaseError, match=r"no user 'nobody-has-it'"):
        Store(str(tmp_path / "b"), "nobody-has-it", GROUP).install(A, "")
    assert not (tmp_path / "b").exists()


def test_group_is_set_before_others_in_it_may_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no write is there a file that more than its owner may read."""
    seen = []
    write = os.write

    def watched(handle: int, data: bytes) -> int:
        seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return write(handle, data)

    monkeypatch.setattr(os, "write", watched)
    begin(store, A)
    assert seen
    assert set(seen) == {0o600}


def test_a_script_from_before_is_kept_as_a_release(store: Store) -> None:
    Path(store.root).mkdir()
    Path(store.root, "opensips.cfg").write_bytes(OLD["opensips.cfg"])
    assert (store.listed()["found"], store.listed()["active"]["id"]) == ("file", None)
    assert store.read("active") == (None, OLD)
    new = store.install(A, "").id
    assert content(store) == OLD["opensips.cfg"]
    done = store.activate(new, "first", failed="it was old")
    assert (done.adopted, done.previous) == (name_of(OLD), name_of(OLD))
    assert content(store) == A["opensips.cfg"]
    assert store.listed()["previous"] is None, "it was marked as failed"
    assert not store.activate(name_of(OLD), "back, by its id").adopted
    assert content(store) == OLD["opensips.cfg"]
    assert store.listed()["found"] == "link"


def test_a_link_that_an_editor_replaced_by_a_file_is_kept_too(store: Store) -> None:
    begin(store, A)
    path = Path(store.root, "opensips.cfg")
    path.unlink()
    path.write_bytes(b"# edited\n")
    assert (store.listed()["active"]["id"], store.listed()["previous"]) == (None, name_of(A))
    edited = name_of({"opensips.cfg": b"# edited\n"})
    assert store.activate(name_of(A), "").previous == edited
    assert content(store) == A["opensips.cfg"]
    assert store.listed()["previous"] == edited


def test_previous_never_means_one_that_was_undone(store: Store) -> None:
    begin(store, A, B, C)
    done = store.activate("previous", "rollback", failed="calls failed")
    assert (done.id, done.previous) == (name_of(B), name_of(C))
    said = store.listed()
    assert said["previous"] == name_of(A)
    assert {r["id"]: r["failed"] for r in said["releases"]}[name_of(C)] == {"at": said["active"]["since"], "why": "calls failed"}
    assert store.activate("previous", "further").id == name_of(A)
    assert store.listed()["previous"] == name_of(B)
    store.activate(name_of(C), "another try")
    store.activate(name_of(A), "")
    assert store.listed()["previous"] == name_of(C), "activated again, it is not failed any more"


def test_unknown_and_damaged_releases_are_refused(store: Store) -> None:
    with pytest.raises(ReleaseError, match=r"^There is no release 0{12} on this host; there are: none\.$"):
        store.activate("0" * 12, "")
    assert not Path(store.root).exists()
    begin(store, A, B)
    with pytest.raises(ReleaseError, match=rf"no release ../x on this host; there are: .*{name_of(B)} \(active\)"):
        store.activate("../x", "")
    Path(store.root, "releases", name_of(A), "routes.cfg").unlink()
    for asked in (name_of(A), "previous"):
        with pytest.raises(ReleaseError, match=rf"^Release {name_of(A)} is damaged \(routes.cfg is not .*{name_of(A)} \(damaged\)"):
            store.activate(asked, "")
    assert content(store) == B["opensips.cfg"]


@pytest.mark.parametrize("broken", ["opensips.cfg", "release.json"])
def test_damage_is_found_and_repaired(store: Store, broken: str) -> None:
    begin(store, A)
    path = Path(store.root, "current", broken)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert [(r["damaged"], r["differs"]) for r in store.listed()["releases"]] == [(True, [broken])]
    again = store.install(A, "again")
    assert (again.changed, again.repaired) == (True, True)
    assert not store.listed()["releases"][0]["damaged"]
    assert content(store) == A["opensips.cfg"]


def test_release_json_that_was_edited_to_match_is_damage(store: Store) -> None:
    """The checksums themselves are checked: they make the id."""
    begin(store, A)
    Path(store.root, "current/opensips.cfg").write_bytes(b"# edited")
    meta = Path(store.root, "current/release.json")
    said = json.loads(meta.read_text())
    said["files"] = digests_of({**A, "opensips.cfg": b"# edited"})
    meta.write_text(json.dumps(said))
    assert store.listed()["releases"][0]["differs"] == ["release.json"]


def kept(store: Store) -> set[str]:
    return {path.name for path in Path(store.root, "releases").iterdir() if path.is_dir()}


def names_of(*scripts: Files) -> set[str]:
    return set(map(name_of, scripts))


def test_what_is_too_old_goes(store: Store) -> None:
    for files in (A, B, C):
        store.install(files, "", keep=2)
    assert kept(store) == names_of(B, C)
    assert store.install(D, "", keep=2).removed == [name_of(B)]
    assert not store.install(D, "", keep=3).changed
    for keep in (1, 51):
        with pytest.raises(ReleaseError, match="set it to 2 to 50"):
            store.install(A, "", keep=keep)


def test_old_releases_that_are_needed_stay(store: Store) -> None:
    begin(store, A)
    for files in (B, C, D):
        store.install(files, "", keep=2)
    assert kept(store) == names_of(A, C, D), "A is active"
    store.note(name_of(C), name_of(B), "drain", [])
    store.install(E, "", keep=2)
    assert kept(store) == names_of(A, C, D, E), "an upgrade goes to C"
    store.note(name_of(B), name_of(C), "drain", [])
    store.activate(name_of(E), "")
    assert store.install(D, "", keep=2).removed == [], "A is what previous means, and an upgrade comes from C"
    store.clear()
    store.activate(name_of(D), "", failed="E is no good")
    assert store.install(D, "", keep=2).removed == [name_of(C)], "A is what previous means, and used longer ago than D and E"
    assert kept(store) == names_of(A, D, E)


def test_a_link_to_a_release_that_is_gone(store: Store) -> None:
    begin(store, A, B)
    release_io.remove_tree(f"{store.folder}/{name_of(B)}")
    said = store.listed()
    assert (said["active"]["id"], said["found"], said["previous"]) == (None, "none", name_of(A))
    assert store.activate("previous", "").id == name_of(A)
    assert content(store) == A["opensips.cfg"]


def test_history_is_bounded(store: Store) -> None:
    begin(store, *[A, B] * 27)
    history = json.loads(Path(store.root, "releases/history.json").read_text())
    assert len(history) == 50
    assert (history[-1]["id"], history[-1]["previous"]) == (name_of(B), name_of(A))


def test_notes_of_an_upgrade(store: Store) -> None:
    assert store.listed()["unfinished"] is None
    assert store.note(name_of(B), name_of(A), "drain", ["main"])
    assert not store.note(name_of(B), name_of(A), "drain", ["main"])
    assert store.note(name_of(B), name_of(A), "activate", ["main"])
    unfinished = store.listed()["unfinished"]
    assert unfinished == {"id": name_of(B), "from": name_of(A), "step": "activate", "drained": ["main"], "at": unfinished["at"]}
    assert (store.clear(), store.clear(), store.listed()["unfinished"]) == (True, False, None)
    with pytest.raises(ReleaseError, match="'latest' can't be a release"):
        store.note("latest", None, "drain", [])


@pytest.mark.parametrize(
    ("name", "text"), [("upgrade.json", '{"id":'), ("history.json", "[7]"), ("switch.json", "{}x"), ("switch.json", "[]")]
)
def test_an_unreadable_journal_is_no_empty_one(store: Store, name: str, text: str) -> None:
    begin(store, A)
    Path(store.root, "releases", name).write_text(text)
    with pytest.raises(ReleaseError, match=f"releases/{name} .*remove it"):
        store.listed()
    if name == "upgrade.json":
        assert store.clear()
        assert store.listed()["active"]["id"] == name_of(A)


def test_validation_comes_before_the_release_and_leaves_nothing(store: Store) -> None:
    seen: list[list[str]] = []

    def run(words: list[str]) -> tuple[int, str]:
        seen.append(words)
        assert Path(words[-1]).with_name("routes.cfg").read_bytes() in (A["routes.cfg"], B["routes.cfg"])
        assert not Path(store.root, "releases", name_of(A)).exists() or len(seen) > 1
        return (1, f"x\n{words[-1]}:7: bad {SECRET} and s3cretive\n") if "B" in Path(words[-1]).read_text() else (0, SECRET)

    check = validator("/usr/sbin/opensips -C -f %s", run, ["s3cretive", SECRET, ""])
    assert store.install(A, "", validate=check).validated
    assert not store.install(A, "", validate=check).validated
    assert len(seen) == 1
    assert store.install(A, "", validate=check, validate_always=True).validated
    assert len(seen) == 2
    before = summary(store)
    with pytest.raises(
        ReleaseError, match=r"^opensips does not accept the script \(exit code 1\): x\nopensips.cfg:7: bad \*\*\* and \*\*\*$"
    ):
        store.install(B, "", validate=check)
    assert summary(store) == before


def test_validator_says_what_is_wrong_with_the_command() -> None:
    def run(words: list[str]) -> tuple[int, str]:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(ReleaseError, match="has no %s"):
        validator("opensips -C", run, [])
    with pytest.raises(ReleaseError, match=r"opensips, can't be run: No such file or directory\."):
        validator("opensips -f %s", run, [])("/tmp/x")  # noqa: S108
    with pytest.raises(ReleaseError, match=r"exit code 3\): it said nothing\."):
        validator("opensips -f %s", lambda words: (3, " \n"), [])("/nowhere")
    many = "\n".join(f"line {n}" for n in range(40))
    with pytest.raises(ReleaseError, match=r"\(exit code 1\): line 20\n(line \d+\n){18}line 39$"):
        validator("opensips -f %s", lambda words: (1, many), [])("/nowhere")


def test_masked_takes_the_longest_first() -> None:
    assert masked("abc ab x", ["ab", "abc", ""]) == "*** *** x"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["opensips.cfg", "../x"], "'../x' can't be a file"),
        (["opensips.cfg", "release.json"], "'release.json' can't be a file"),
        (["opensips.cfg", ".hidden"], "'.hidden' can't be a file"),
        (["opensips.cfg", "opensips.cfg"], "Two files of the release are named opensips.cfg"),
        (["routes.cfg"], "no opensips.cfg"),
    ],
)
def test_names_that_can_not_be(names: list[str], message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        checked_files({"name": name, "content": SECRET} for name in names)
    assert checked_files([{"name": "opensips.cfg", "content": "ü"}]) == {"opensips.cfg": "ü".encode()}


def test_only_one_run_at_a_time(store: Store) -> None:
    begin(store, A)
    with release_io.locked(store.folder):
        for change in (lambda: store.install(B, ""), lambda: store.activate(name_of(A), ""), lambda: store.note(name_of(A), None, "", [])):
            with pytest.raises(ReleaseError, match="Another run is changing"):
                change()
    assert store.install(B, "").changed


def test_check_mode_tells_and_touches_nothing(tmp_path: Path) -> None:
    root = tmp_path / "opensips"
    check = Store(str(root), USER, "nobody-has-it", check=True)
    assert (check.install(A, "").changed, check.install(A, "").id) == (True, name_of(A))
    done = check.activate(name_of(A), "")
    assert (done.changed, len(done.warnings)) == (True, 1)
    assert check.note(name_of(A), None, "", [])
    assert not check.clear()
    assert not root.exists()
    real = Store(str(root), USER, GROUP, now=Clock())
    begin(real, A, B)
    real.note(name_of(A), None, "drain", [])
    check, before = Store(str(root), USER, GROUP, check=True), summary(real)
    assert not check.install(A, "").changed
    assert not check.note(name_of(A), None, "drain", [])
    assert check.activate("previous", "", failed="x").id == name_of(A)
    assert check.install(C, "", validate=lambda path: pytest.fail("was run")).changed
    assert check.clear()
    with pytest.raises(ReleaseError, match="no release latest"):
        check.activate("latest", "")
    assert summary(real) == before


def test_read(store: Store) -> None:
    begin(store, A, B)
    assert store.read("active") == (name_of(B), B)
    assert store.read("previous") == store.read(name_of(A)) == (name_of(A), A)
    Path(store.root, "current/opensips.cfg").write_bytes(b"edited")
    assert store.read("active")[1]["opensips.cfg"] == b"edited"
    with pytest.raises(ReleaseError, match="no release latest"):
        store.read("latest")


def test_time_is_utc() -> None:
    assert len(utc_now()) == len("2026-01-01T00:00:00Z")
