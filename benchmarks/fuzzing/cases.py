"""What a malformed input is, the damage that any text file can take, and values that do not belong anywhere."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Case:
    """One input. `files` are written to an empty directory, or `write` makes them; then the reader reads them."""

    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    write: Callable[[Path], None] | None = None
    options: tuple[str, ...] = ()
    refused: bool = False
    """Whether nothing but a refusal is right: the damage is of a kind that no reader can pass over."""


@dataclass(frozen=True)
class Reader:
    """One of the project's readers."""

    name: str
    cases: Callable[[random.Random], Iterator[Case]]
    """An endless supply, the set pieces first."""
    read: Callable[[Path, Case], Any]
    """What the project does with the files; raises what the project raises."""
    sound: Check
    """Whether what came out can be used: finite numbers, dates in order, text that can be printed."""
    prepare: Callable[[], Any] = lambda: None
    """Loads a library that takes its time, before the first input is timed."""


DEEP = 3_000
NUMBERS = [
    "1" + "0" * 19,
    "9" * 400,
    "9" * 5_000,
    "1e400",
    "-1e400",
    "1e-320",
    "NaN",
    "Infinity",
    "-Infinity",
    "-0",
    "0x10",
]
VALUES = [
    *NUMBERS, "null", "true", "[]", "{}", '""', '"x"', '"\\ud800"', '"\\u0000"', '"' + "a" * 70_000 + '"', "[[]]",
    '{"a": {"a": 1}}', "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP, "1.5", "-1", "2", '"1e5"', '"nan"',
    '"../../etc/passwd"', '"2019-02-30"', '"9999-12-31T23:59:59-14:00"', '"0001-01-01T00:00:00+14:00"', '"\\u202e"',
]  # fmt: skip
"""JSON texts to put where another value was."""
WHOLE = [
    b"", b" ", b"\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00" * 5_000, b"\xff" * 100, b"[" * 100_000, b"{" * 100_000,
    b'{"a":' * 100_000, b"null", b"[]", b"{}", b"0", b'"x"', b"," * 3_000_000, b"NaN", b"\x80abc", b"PAR1",
    b"PK\x03\x04",
    b"\x1f\x8b\x08" + b"\x00" * 50, b"9" * 1_000_000, b"\r" * 1_000, b"a" * 9_000_000, b"{}" * 10, b'{"a":1,"a":2}',
]  # fmt: skip
"""Contents that are no file of any reader."""


def damaged(rng: random.Random, content: bytes) -> bytes:
    """A file's bytes after one to four accidents."""
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(content) + 1)
        length = min(rng.choice((1, 1, 2, 8, 64, 500)), len(content) - place)
        part = content[place : place + length]
        content = content[:place] + rng.choice(ACCIDENTS)(rng, part) + content[place + length :]
    return content if rng.random() < 0.9 else content[: rng.randrange(len(content) + 1)]


ACCIDENTS: list[Callable[[random.Random, bytes], bytes]] = [
    lambda rng, part: b"",
    lambda rng, part: part * rng.choice((2, 3, 50)),
    lambda rng, part: rng.randbytes(len(part)),
    lambda rng, part: part[::-1],
    lambda rng, part: rng.choice(NUMBERS).encode(),
    lambda rng, part: rng.choice(
        (b"\x00", b"\xff", b"\xed\xa0\x80", b"\n", b"\r", b",", b'"', b"\\", b"[", b"}", b"\x1b")
    ),
    lambda rng, part: bytes(byte ^ 1 << rng.randrange(8) for byte in part[:1]) + part[1:],
]


def changed_json(rng: random.Random, text: str) -> str:
    """A JSON text with one value replaced, taken out, given twice or put into another."""
    value = json.loads(text)
    places = list(_places(value))
    if not places:
        return rng.choice(VALUES)
    table, key = rng.choice(places)
    way = rng.randrange(6)
    if way == 0:
        del table[key]
    elif way == 1 and isinstance(table, dict):
        other = rng.choice(places)
        table[str(rng.choice(("", "x", "__class__", "\u202e", key)))] = json.loads(json.dumps(other[0][other[1]]))
    else:
        mark = "@@place@@"
        table[key] = mark
        return json.dumps(value).replace(f'"{mark}"', rng.choice(VALUES))
    return json.dumps(value)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def of_json(rng: random.Random, name: str, text: str, **others: bytes) -> Iterator[Case]:
    """Cases of a reader of one JSON file: the set pieces, then changed values and accidents in turn."""
    rest = {key.replace("__", "/"): value for key, value in others.items()}
    for number, content in enumerate(WHOLE):
        yield Case(f"whole {number}", rest | {name: content})
    for number in range(10**9):
        if rng.random() < 0.7:
            yield Case(f"value {number}", rest | {name: changed_json(rng, text).encode()})
        else:
            yield Case(f"accident {number}", rest | {name: damaged(rng, text.encode())})


def of_lines(rng: random.Random, name: str, lines: list[str]) -> Iterator[Case]:
    """Cases of a reader of one JSON value a line."""
    for number, content in enumerate(WHOLE):
        yield Case(f"whole {number}", {name: content})
    for number in range(10**9):
        if rng.random() < 0.75:
            row = rng.randrange(len(lines))
            changed = [*lines[:row], changed_json(rng, lines[row]), *lines[row + 1 :]]
            yield Case(f"value {number}", {name: "".join(line + "\n" for line in changed).encode()})
        else:
            yield Case(f"accident {number}", {name: damaged(rng, "".join(line + "\n" for line in lines).encode())})


def printable(value: Any) -> bool:
    """Whether every text and number within a value can be written down again."""
    if isinstance(value, dict):
        return printable(list(value)) and printable(list(value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(printable, value))
    if isinstance(value, float):
        return abs(value) < float("inf")
    return not isinstance(value, str) or value.replace("\n", "").replace("\t", "").replace("\r", "").isprintable()
