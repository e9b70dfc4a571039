"""What a reader of docs/stories does, step by step, read from the document's own words.

| Words in the document | Step |
|---|---|
| a block `console` | each command behind `$ `, with what it prints; `...` stands for anything |
| "Into `FILE`:" before a block | the file is written |
| "In `FILE` set:" before a block `toml` | keys are set in a configuration that is there |
| "until `FILE` says `TEXT`" | wait for a line of a log |
| **At the desk**, **On the tablet**, **On the phone** | whose browser is meant from here on |
| "open `ADDRESS`" | an address, or a file of this folder |
| "touch **NAME**" | a button, link or summary of that name |
| "type `TEXT` into **FIELD**" | a field by its label; `CODE` is the code that was shown last |
| "choose `TEXT` in **FIELD**" | an option of a list |
| "move **FIELD** by `N`" | a slider, so many steps |
| "wait for **TEXT**" | the page shows it |
| a picture of images/stories | what is seen is that picture |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FENCE = re.compile(
    r"(?P<before>[^\n]*)\n\n?[ ]*```(?P<kind>\w+)[^\n]*\n(?P<body>.*?)\n[ ]*```", re.DOTALL
)
FILE = re.compile(r"(?P<how>Into|In) `(?P<file>[^`]+)`(?: set)?:$")
DEED = re.compile(
    r"(?P<log>until `(?P<log_file>[^`]+)` says `(?P<said>[^`]+)`)"
    r"|\*\*(?P<where>At the desk|On the tablet|On the phone)\b"
    r"|[Oo]pen `(?P<open>[^`]+)`"
    r"|[Tt]ouch \*\*(?P<touch>[^*]+)\*\*"
    r"|[Tt]ype `(?P<text>[^`]+)` into \*\*(?P<into>[^*]+)\*\*"
    r"|[Cc]hoose `(?P<option>[^`]+)` in \*\*(?P<list>[^*]+)\*\*"
    r"|[Mm]ove \*\*(?P<slider>[^*]+)\*\* by `(?P<by>-?\d+)`"
    r"|[Ww]ait for \*\*(?P<wait>[^*]+)\*\*"
    r"|!\[[^\]]*\]\(\.\./images/stories/(?P<picture>[a-z0-9_]+)\.jpg\)"
)


@dataclass(frozen=True)
class Step:
    """One deed. Attributes: kind, what it is done to or where, and the text that belongs to it."""

    kind: str
    what: str
    text: str = ""


def steps_of(document: str) -> Iterator[Step]:
    """Yield the steps of a story in order."""
    end = 0
    for found in FENCE.finditer(document):
        yield from _deeds(document[end : found.start("body")])
        yield from _of_block(found)
        end = found.end()
    yield from _deeds(document[end:])


def _of_block(found: re.Match[str]) -> Iterator[Step]:
    body = re.sub(r"^" + re.match(r" *", found["body"])[0], "", found["body"], flags=re.M)  # type: ignore[index]
    into = FILE.search(found["before"])
    if found["kind"] == "console":
        for typed in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
            command, _, printed = typed.partition("\n")
            yield Step("command", command, printed.strip())
    elif into:
        yield Step("file" if into["how"] == "Into" else "set", into["file"], body + "\n")


def _deeds(prose: str) -> Iterator[Step]:
    for found in DEED.finditer(re.sub(r"\n[ ]*(?=\S)", " ", prose)):
        for kind, what, text in (
            ("log", "log_file", "said"), ("where", "where", ""), ("open", "open", ""),
            ("touch", "touch", ""), ("type", "into", "text"), ("choose", "list", "option"),
            ("slide", "slider", "by"), ("wait", "wait", ""), ("picture", "picture", ""),
        ):  # fmt: skip
            if found[what]:
                yield Step(kind, found[what], found[text] if text else "")


def matches(shown: str, printed: str) -> bool:
    """Whether a command printed what the document shows; `...` stands for anything, and a document
    that shows nothing does not care."""
    pattern = ".*".join(re.escape(piece) for piece in shown.split("..."))
    return not shown or re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def set_keys(config: str, wanted: str) -> str:
    """Return a configuration with keys of tables set, where they stand or are commented out."""
    lines, table = config.splitlines(), ""
    for line in wanted.splitlines():
        if line.startswith("["):
            table = line
        elif "=" in line:
            lines[_line_of(lines, table, line.partition("=")[0].strip())] = line
    return "\n".join(lines) + "\n"


def _line_of(lines: list[str], table: str, key: str) -> int:
    begin = lines.index(table)
    for number in range(begin + 1, len(lines)):
        if lines[number].startswith("["):
            break
        if re.match(rf"(# )?{re.escape(key)} = ", lines[number]):
            return number
    raise AssertionError(f"the configuration has no {key} in {table}")
