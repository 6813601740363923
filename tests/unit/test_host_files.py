"""Files of a host: what counts as different. LOOK is run by a real shell on real files."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest
from ansible_collections.sipha.cluster.plugins.module_utils.host_files import LOOK, Wanted, differs, parse_look, wanted


def look(*paths: Path) -> dict[str, str]:
    done = subprocess.run(
        ["sh", "-c", f'for path in "$@"; do {LOOK}; done', "sh", *map(str, paths)], capture_output=True, text=True, check=True
    )
    return parse_look(done.stdout)


def mine(dest: Path, text: str | None = None, mode: str = "0640") -> Wanted:
    user = pwd.getpwuid(os.getuid()).pw_name
    entry = {"dest": str(dest), "owner": user, "group": user, "mode": mode}
    return wanted({**entry, "content": text} if text is not None else {**entry, "directory": True}, text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some name"
    path.write_text("text ü\n")
    path.chmod(0o640)
    return path


def test_same_file_and_directory(file: Path) -> None:
    file.parent.chmod(0o755)
    there = look(file, file.parent)
    assert not differs(mine(file, "text ü\n"), there[str(file)])
    assert not differs(mine(file.parent, mode="0755"), there[str(file.parent)])


@pytest.mark.parametrize(("text", "mode"), [("text ü", "0640"), ("text ü\n", "0644"), ("", "0640")])
def test_text_or_mode_differs(file: Path, text: str, mode: str) -> None:
    assert differs(mine(file, text, mode), look(file)[str(file)])


def test_missing_link_and_wrong_kind(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    there = look(tmp_path / "none", link, tmp_path)
    assert list(there) == [str(tmp_path)]
    assert differs(mine(link, "text ü\n"), there.get(str(link)))
    assert differs(mine(tmp_path, "x"), there[str(tmp_path)])


def test_owner_differs(file: Path) -> None:
    entry = {"dest": str(file), "content": "text ü\n", "owner": "nobody", "mode": "0640"}
    assert differs(wanted(entry, "text ü\n"), look(file)[str(file)])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dest": "etc/x", "content": ""}, "dest 'etc/x' is not an absolute path"),
        ({"dest": "/x"}, "exactly one of template, copy, content, directory (there is none)"),
        ({"dest": "/x", "content": "", "directory": True}, "(there is content, directory)"),
        ({"dest": "/x", "content": "", "mode": "rw"}, "mode 'rw' is not an octal number"),
    ],
)
def test_bad_entries(entry: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        wanted(entry, "")
    assert message in str(error.value)
