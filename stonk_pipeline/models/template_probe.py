"""Renders a chat template in a sandboxed process with limited time and memory; a script for `templates`.

A model directory of somebody else holds a program in Jinja. The sandbox keeps it from Python's insides, and lets it
loop and grow as it likes. The environment is the one of transformers (`utils/chat_template_utils.py`), so that what
renders here renders there.
"""

import json
import resource
import sys
from datetime import datetime
from typing import Any

from jinja2 import ext, nodes, parser
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS, MEGABYTES = 3, 1_000
LONGEST = 200_000
"""Characters of a rendered conversation."""
DEAF = "leaves out what the user says"


class Generation(ext.Extension):
    """The Jinja tag `generation`, which marks a model's own words; here it shows them."""

    tags = {"generation"}  # noqa: RUF012 (Jinja declares it so)

    def parse(self, parser: parser.Parser) -> list[nodes.Node]:
        """Returns what stands between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def render(template: str, messages: list[dict[str, str]], ask: bool, tokens: dict[str, str]) -> str:
    """Renders a conversation with a template, as transformers does; `tokens` are those that have a name."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template).render(messages=messages, tools=None, add_generation_prompt=ask, **tokens)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **more: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **more)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def fault(template: str, messages: list[dict[str, str]], tokens: dict[str, str]) -> str:
    """Says why a conversation (system, user, assistant) cannot be rendered; empty where it can."""
    try:
        asked = render(template, messages[:-1], True, tokens)
        told = render(template, messages, False, tokens)
    except MemoryError:
        return f"takes more than {MEGABYTES:,} MB"
    except Exception as error:  # whatever a stranger's program ends in
        return f"{type(error).__name__}: {error}"[:300]
    if max(len(asked), len(told)) > LONGEST:
        return f"gives more than {LONGEST:,} characters for a short conversation"
    if messages[-2]["content"] not in asked:
        return DEAF
    return "" if messages[0]["content"] in asked else "leaves out the system message"


def main() -> int:
    """Reads {templates, messages, tokens} from standard input and writes the place of the first that can be rendered.

    Ends with 1 where none can, and writes why the first cannot.
    """
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEGABYTES * 1_000_000, MEGABYTES * 1_000_000))
    given = json.load(sys.stdin)
    faults = []
    for place, template in enumerate(given["templates"]):
        faults.append(fault(template, given["messages"], given["tokens"]))
        if not faults[-1]:
            sys.stdout.write(str(place))
            return 0
        if faults[-1] == DEAF:
            break
    sys.stdout.write(faults[0])
    return 1


if __name__ == "__main__":
    sys.exit(main())
