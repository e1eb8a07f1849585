"""Parses command lines: short usage, commands listed by what they are for, and a guess at what was misspelt.

argparse does the parsing: libraries that make options out of a function's arguments take none from tables, as which the
options that change settings are kept. Shell completion comes from shtab, which reads these very parsers.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from stonk_pipeline.contracts.recipes import recipe_files
from stonk_pipeline.files.spelling import did_you_mean

SHELLS = ("bash", "zsh", "fish", "tcsh")
FEW = 6
"""Choices that a message names all."""
_CHOICE = re.compile(r"argument (?P<what>[^:]+): invalid choice: '?(?P<given>.*?)'? \(choose from (?P<known>.*)\)$")
_UNKNOWN = "unrecognized arguments: "


class Help(argparse.HelpFormatter):
    """argparse's help, with the texts of options in a column a little further to the right."""

    def __init__(self, prog: str, **given: Any) -> None:
        super().__init__(prog, **({"max_help_position": 27} | given))


class Parser(argparse.ArgumentParser):
    """A parser whose usage names what is required alone, and whose errors ask what was meant."""

    groups: Mapping[str, Sequence[str]] = {}
    """Heading -> commands that are listed below it; what is not named here stands below the last one."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**({"formatter_class": Help} | given))

    def format_usage(self) -> str:
        """Words the usage: what is required, and that there are options."""
        self.usage = self.usage or self._short_usage()
        return super().format_usage()

    def format_help(self) -> str:
        """Words the whole help; commands stand below their headings."""
        formatter = self._get_formatter()
        formatter.add_usage(self.usage or self._short_usage(), [], [])
        formatter.add_text(self.description)
        for group in self._action_groups:
            commands = [action for action in group._group_actions if isinstance(action, argparse._SubParsersAction)]
            if commands:
                self._add_commands(formatter, commands[0])
                continue
            formatter.start_section(group.title)
            formatter.add_text(group.description)
            formatter.add_arguments(group._group_actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def _add_commands(self, formatter: argparse.HelpFormatter, commands: Any) -> None:
        listed = {action.dest: action for action in commands._choices_actions}
        groups = {title: [name for name in names if name in listed] for title, names in self.groups.items()}
        placed = {name for names in groups.values() for name in names}
        others = [name for name in listed if name not in placed]
        for title, names in (groups | ({"more commands" if groups else "commands": others} if others else {})).items():
            formatter.start_section(title)
            formatter.add_arguments([listed[name] for name in names])
            formatter.end_section()

    def _short_usage(self) -> str:
        parts = ["%(prog)s"]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                parts += [str(action.metavar), "[options]"]
            elif not action.option_strings:
                more = " ..." if action.nargs in ("+", "*") else ""
                parts.append(f"{action.metavar or action.dest.upper()}{more}")
            elif action.required:
                parts.append(f"{action.option_strings[-1]} {action.metavar or action.dest.upper()}")
        if "[options]" not in parts:
            parts.insert(1, "[options]")
        return " ".join(parts)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # the base's signature is overloaded
        """Parses, and refuses what it does not know itself: so a command's own usage and options are named."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(_UNKNOWN + " ".join(unknown))
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Ends with the usage and what is wrong, and the names that are spelt like what was given."""
        near, listing = "", "--help lists what there is"
        if (choice := _CHOICE.match(message)) is not None:
            known = [name.strip(" '") for name in choice["known"].split(",")]
            near = did_you_mean(choice["given"], known) or (listing if len(known) > FEW else f"of {', '.join(known)}")
            message = f"{choice['what']}: there is no {choice['given']!r}"
        elif message.startswith(_UNKNOWN):
            wrong = next((word for word in message.removeprefix(_UNKNOWN).split() if word.startswith("-")), "")
            near = did_you_mean(wrong.partition("=")[0], self._option_string_actions) or listing
            message = f"no such argument: {message.removeprefix(_UNKNOWN)}"
        super().error(f"{message}; {near}" if near else message)


class Completion(argparse.Action):
    """Prints what a shell reads to complete commands and options of a program, and ends."""

    def __init__(self, *, program: str, **given: Any) -> None:
        text = f"print what {', '.join(SHELLS[:-1])} or {SHELLS[-1]} reads to complete commands and options"
        super().__init__(choices=SHELLS, metavar="SHELL", help=text, **given)
        self.program = program

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> None:
        """Prints it."""
        import shtab

        for action in _actions(parser):
            if action.dest == "recipe":
                action.choices = list(recipe_files())
            elif action.dest.endswith("_dir") or action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
        parser.prog = self.program  # as it is called, not as this process was
        sys.stdout.write(f"{shtab.complete(parser, shell=given[1])}\n")
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def add_completion(parser: argparse.ArgumentParser, program: str) -> None:
    """Adds `--print-completion SHELL` for a program that is called by this name."""
    parser.add_argument("--print-completion", action=Completion, program=program)
