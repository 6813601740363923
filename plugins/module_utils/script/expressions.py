"""Regular expressions as the engine compiles them, and names of variables inside texts."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
from functools import cache
from typing import Any

EXTENDED, IGNORE_CASE = 1, 2  # REG_EXTENDED and REG_ICASE have these values in glibc, musl and the BSDs
VARIABLE_NAME = re.compile(r"\$\(?([A-Za-z][\w.]*)")
SUBSTITUTION = re.compile(r"\{re\.subst,(.*?)\}(?=[{)]|$)", re.DOTALL)


@cache
def _library() -> Any:
    try:
        library = ctypes.CDLL(ctypes.util.find_library("c") or None)
        return library if library.regcomp and library.regerror and library.regfree else None
    except (OSError, AttributeError):
        return None


@cache
def regex_error(pattern: str) -> str:
    """What is wrong with a POSIX extended regular expression; "" when it compiles."""
    if "(?" in pattern.replace("\\(", ""):
        return "(?...) is not POSIX"
    if "\0" in pattern:
        return "it has a zero byte"
    library = _library()
    if library is None or _heavy(pattern):
        return _by_python(pattern)
    room = ctypes.create_string_buffer(1024)  # a regex_t has 64 bytes
    code = library.regcomp(room, pattern.encode(), EXTENDED | IGNORE_CASE)
    if code:
        message = ctypes.create_string_buffer(200)
        library.regerror(code, room, message, len(message))
        return message.value.decode(errors="replace")
    library.regfree(room)
    return ""


def _heavy(pattern: str) -> bool:
    """glibc may run out of stack or memory over these; no script has them."""
    size = 1
    for count in re.findall(r"\{(?:\d*,)?(\d+)", pattern):
        size *= max(1, int(count[:6]))
    return len(pattern) > 2000 or pattern.count("(") > 200 or size > 100_000


def _by_python(pattern: str) -> str:
    """Where there is no regcomp: what both kinds of expressions refuse."""
    try:
        re.compile(re.sub(r"\[:\w+:\]", "a-z", pattern))
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    return ""


def strange_escape(pattern: str) -> str:
    """Something of Perl's that POSIX reads as something else: \\d, \\t in brackets, lazy quantifiers."""
    outside = re.sub(r"\[\^?\]?[^\]]*\]", "x", pattern)
    for escape in re.findall(r"\\[a-zA-Z]", outside):
        if escape[1] not in "wWsSbB":  # GNU has these
            return f"{escape} is just the letter {escape[1]}"
    for bracket in re.findall(r"\[\^?\]?([^\]]*)\]", pattern):
        found = re.search(r"\\[a-zA-Z]", bracket)
        if found:
            return f"{found[0]} in brackets is a backslash or the letter {found[0][1]}"
    return "a quantifier after a quantifier" if re.search(r"(?<!\\)[*+?}][*+?]", outside) else ""


def substitution(text: str) -> str | None:
    """The expression of /expression/replacement/flags; None when it has not that form."""
    if not text:
        return None
    mark, place = text[0], 1
    while place < len(text):
        if text[place] == "\\":
            place += 2
            continue
        if text[place] == mark:
            rest = text[place + 1 :]
            return text[1:place] if mark in rest else None
        place += 1
    return None


def variable_names(text: str) -> list[str]:
    """Names of the variables in a text or variable; $$ is a dollar sign, and those inside re.subst are ends of lines."""
    return [name.rstrip(".") for name in VARIABLE_NAME.findall(SUBSTITUTION.sub("}", text).replace("$$", ""))]
