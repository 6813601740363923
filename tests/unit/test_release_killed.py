"""Runs that are killed at any of their operations on files: what the engine then reads, and that the next run ends right."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.release import Store
from ansible_collections.sipha.cluster.plugins.module_utils.release_state import Files, look
from release_base import GROUP, OLD, USER, A, B, C, Clock, D, begin, name_of, places, summary

OPERATIONS = ("mkdir", "open", "write", "fchown", "fchmod", "chown", "chmod", "fsync", "replace", "rename", "symlink", "unlink", "rmdir")


def killed(action: Callable[[], object], at: int) -> bool:
    """Run the action in a process of its own that dies at its operation number `at`; a write is cut in half. Did it die?"""
    child = os.fork()
    if not child:
        code, calls = 1, itertools.count(1)

        def dying(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def operation(*args: Any, **options: Any) -> Any:
                if next(calls) == at:
                    if name == "write":
                        real(args[0], args[1][: len(args[1]) // 2])
                    os._exit(9)
                return real(*args, **options)

            return operation

        for name in OPERATIONS:
            setattr(os, name, dying(name, getattr(os, name)))
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


def upgrade(files: Files) -> Callable[[Store], object]:
    return lambda store: store.activate(store.install(files, "new", keep=2).id, "upgrade")


def plain(store: Store) -> None:
    Path(store.root).mkdir()
    Path(store.root, "opensips.cfg").write_bytes(OLD["opensips.cfg"])


def hand_edited(store: Store) -> None:
    begin(store, A)
    Path(store.root, "current/opensips.cfg").write_bytes(b"# edited")


def three(store: Store) -> None:
    begin(store, A, B, C)


EDITED = {**A, "opensips.cfg": b"# edited"}
CASES: dict[str, tuple[Callable[[Store], object], Callable[[Store], object], list[Files]]] = {
    "from before releases": (plain, upgrade(A), [OLD, A]),
    "nothing there": (lambda store: None, upgrade(A), [{}, A]),
    "one goes, one comes": (three, upgrade(D), [C, D]),
    "back": (three, lambda store: store.activate("previous", "rollback", failed="no calls"), [C, B]),
    "repair of the live script": (hand_edited, lambda store: store.install(A, ""), [EDITED, A]),
    "another beside a damaged one": (hand_edited, upgrade(B), [EDITED, B]),
    "notes": (three, lambda store: store.note(name_of(A), None, "drain", []), [C]),
}


@pytest.mark.parametrize("case", CASES)
def test_killed_at_every_operation(case: str, tmp_path: Path) -> None:
    prepare, action, wholes = CASES[case]

    def fresh(name: str) -> Store:
        store = Store(str(tmp_path / name / "etc"), USER, GROUP, now=Clock())
        Path(store.root).parent.mkdir()
        prepare(store)
        return store

    def ended(store: Store) -> dict[str, Any]:
        """After the run of a later day, which also removes what is too old or half done."""
        store.install(wholes[-1], "new", keep=2)
        return summary(store)

    reference = fresh("reference")
    action(reference)
    wanted = ended(reference)
    for at in itertools.count(1):
        store = fresh(f"at-{at}")
        if not killed(lambda store=store: action(store), at):  # type: ignore[misc]
            break
        # What the engine reads at this moment is one whole script, and nobody else may read it.
        script = Path(store.root, "opensips.cfg")
        assert (script.read_bytes() if script.exists() else None) in [whole.get("opensips.cfg") for whole in wholes], at
        state = look(store.root)
        if state.active:
            assert store.read("active")[1] in wholes, at
        for path in places(store):
            assert path.is_symlink() or path.parent == Path(store.root) or not path.stat().st_mode & 0o007, (at, path)
        # `previous` means another release once all of a rollback has been noted, and only then.
        if not (case == "back" and not state.switch and state.active == wanted["active"]):
            action(store)
        assert ended(store) == wanted, at
    assert at > 5, "it was killed somewhere"
