"""Takes secrets out of text that people will see: diffs, messages, reports."""

from __future__ import annotations

import re

HIDDEN = "***"
# Names of parameters and variables whose value is a secret; names of columns and variables that hold one elsewhere are not.
SECRET_NAME = r"\w*(?:secret|passw(?:or)?d|passphrase|credential|api_?key|private_?key|auth_?token|community)\w*"  # noqa: S105
NO_SECRET = re.compile(r"(?:_col|_column|_avp|_spec|_var|_table|_tag|_file|_path)$", re.IGNORECASE)

_STRING = r'(?:"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\')'
_URL = re.compile(r"(\w[\w+.:-]*://[^\s\"':@/]*:)[^\s\"']*@")
_PARAMETER = re.compile(
    rf"(modparam\s*\(\s*{_STRING}\s*,\s*[\"'])({SECRET_NAME})([\"']\s*,\s*)({_STRING}(?:\s*{_STRING})*|[\w+-]+)", re.IGNORECASE
)
_ASSIGNMENT = re.compile(rf"(\$\(?\w+\()({SECRET_NAME})(\)\s*(?:[:+]?=|==|!=)\s*)({_STRING})", re.IGNORECASE)
_HEADER = re.compile(r"(Authorization:\s*(?:Basic|Bearer|Digest)?\s*)[^\s\"'\\][^\"'\\]*", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether a parameter of this name holds a secret."""
    return re.fullmatch(SECRET_NAME, name, re.IGNORECASE) is not None and NO_SECRET.search(name) is None


def redact_value(name: str, value: str) -> str:
    """One value, by the name of its parameter."""
    return HIDDEN if is_secret(name) else redact(value)


def _keep_quotes(match: re.Match[str]) -> str:
    before, name, between, _ = match.groups()
    return match[0] if NO_SECRET.search(name) else f'{before}{name}{between}"{HIDDEN}"'


def redact(text: str) -> str:
    """A script, a part of one or a diff of two, with *** for passwords in URLs, secret parameters and variables, and credentials."""
    text = _URL.sub(rf"\1{HIDDEN}@", text)
    text = _PARAMETER.sub(_keep_quotes, text)
    text = _ASSIGNMENT.sub(_keep_quotes, text)
    return _HEADER.sub(rf"\1{HIDDEN}", text)
