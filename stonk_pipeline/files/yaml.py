"""Reads YAML of unknown origin (recipes, option values) within limits on size, depth and aliases."""

from collections import Counter
from typing import Any, NoReturn

import yaml

from stonk_pipeline.errors import ConfigError
from stonk_pipeline.files.untrusted import DEEPEST, LONGEST_NUMBER, check_plain, reason, shown

MOST_VALUES = 20_000
"""Values of a text, one behind an alias counted each time that the alias stands."""
LONGEST_SETTING = 100_000
"""Characters of a text."""


def parse_yaml(text: str, place: str) -> Any:
    """Parses a YAML text.

    Args:
        text: the text.
        place: file or option, for the message.

    Raises:
        ConfigError: not YAML, too long, nested too deep, with more values than settings can have, a name twice in one
            table, a date that the calendar lacks, or a number of a size that no setting has.
    """
    if len(text) > LONGEST_SETTING:
        raise ConfigError(f"{place}: longer than {LONGEST_SETTING:,} characters; settings take less")
    loader = yaml.SafeLoader(text) if _loadable(text) else _not_yaml(place, "a character that text does not have")
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_node(node)
        value = loader.construct_document(node)
        check_plain(value)
        return value
    except yaml.YAMLError as error:
        _not_yaml(place, getattr(error, "problem", None) or error, _line(error))
    except RecursionError:
        _not_yaml(place, f"nested deeper than {DEEPEST} levels")
    except Exception as error:  # PyYAML passes on whatever int(), date() and its own tables raise
        _not_yaml(place, reason(error))
    finally:
        loader.dispose()


def _not_yaml(place: str, why: object, where: str = "") -> NoReturn:
    raise ConfigError(f"{place}: the value is not readable as YAML{where}: {shown(why)}; quote it if it is a text")


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}" if mark is not None else ""


def _loadable(text: str) -> bool:
    return yaml.reader.Reader.NON_PRINTABLE.search(text) is None


def _check_node(root: yaml.Node) -> None:
    """Bounds of depth, number and size, before anything is made of the nodes; an alias is followed each time."""
    waiting = [(root, 1)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES:,} values, those behind an alias counted each time")
        if depth > DEEPEST:
            raise ValueError(f"nested deeper than {DEEPEST} levels, or an alias of itself")
        if isinstance(node, yaml.ScalarNode):
            if not node.tag.endswith((":str", ":binary")) and len(node.value) > LONGEST_NUMBER:
                raise ValueError(f"a number of {len(node.value):,} characters")
        elif isinstance(node, yaml.MappingNode):
            names = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            twice = next((name for name, n in Counter(names).items() if n > 1 and name[0][-5:] != "merge"), None)
            if twice:
                raise ValueError(f"{twice[1][:40]!r} is given twice")
            waiting += [(part, depth + 1) for pair in node.value for part in pair]
        else:
            waiting += [(part, depth + 1) for part in node.value]
