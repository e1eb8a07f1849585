"""Help, usage, guesses at what was misspelt, and what shells read to complete commands."""

import re
import shutil
import subprocess

import pytest

from stonk_pipeline import cli
from stonk_pipeline.commands.options import EVERY
from stonk_pipeline.commands.parser import SHELLS
from stonk_pipeline.contracts import CONTRACTS

COLUMNS = 80
COMMANDS = list(cli.build_parser()._subparsers._group_actions[0].choices)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", str(COLUMNS))


def ended(arguments, capsys):
    """What a command line that ends in the parser prints: (standard output, standard error)."""
    with pytest.raises(SystemExit):
        cli.main(arguments)
    return capsys.readouterr()


def listed(text):
    """The options that a help explains."""
    return set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", text, re.MULTILINE))


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["models", "promote"]])
def test_help_fits_a_terminal_and_has_one_line_of_usage(command, capsys):
    lines = ended([*command, "--help"], capsys).out.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    assert lines[0].startswith("usage: ")
    assert lines[1] == ""
    assert len(lines) < 80


def test_help_lists_every_command_below_a_heading(capsys):
    said = ended(["--help"], capsys).out
    assert set(re.findall(r"^  ([a-z][a-z-]+) ", said, re.MULTILINE)) == set(COMMANDS)
    assert said.index("steps of a run of the direction contract:") < said.index("  stage-one ")


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_help_lists_the_options_of_a_command_and_of_no_other(contract, capsys):
    """A step has the options that change its own contract's settings."""
    others = {option.flag for other in CONTRACTS if other is not contract for option in other.options}
    others -= {option.flag for option in contract.options}
    only_here = [step for step in contract.graph if sum(step in other.graph for other in CONTRACTS) == 1]
    for command in (*only_here, *(own.name for own in contract.commands)):
        assert not listed(ended([command, "--help"], capsys).out) & others


def test_forecast_help_has_nothing_of_trainings(capsys):
    said = ended(["forecast", "--help"], capsys).out
    own = {"--adapter", "--base", "--key", "--calendar", "--samples", "--forecasts-dir", "--help"}
    settings = {"--stock", "--data-dir", "--window", "--horizon", "--model", "--max-seq-length", "--lora-rank"}
    settings |= {"--gpu-memory-utilization", "--seed", "--cuda-devices", "--models-dir", "--recipe", "--set"}
    assert own | settings <= listed(said)
    assert not listed(said) & {"--folds", "--results-dir", "--news", "--epochs"}
    assert "direction" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sftt"], "COMMAND: there is no 'sftt'; did you mean sft?"),
        (["grpo"], "COMMAND: there is no 'grpo'; did you mean grpo-first or grpo-second?"),
        (["nonsense"], "COMMAND: there is no 'nonsense'; --help lists what there is"),
        (["models", "lst"], "ACTION: there is no 'lst'; did you mean list?"),
        (["sft", "--run-dir", "x", "--horizn", "3"], "no such argument: --horizn 3; did you mean --horizon?"),
        (["sft", "--run-dir", "x", "--lr", "3"], "no such argument: --lr 3; --help lists what there is"),
        (["gate", "--run-dir", "x", "--gate", "strikt"], "--gate: there is no 'strikt'; did you mean strict?"),
        (["gate", "--run-dir", "x", "--gate", "off"], "--gate: there is no 'off'; of report, strict"),
    ],
)
def test_errors_ask_what_was_meant(arguments, message, capsys):
    said = ended(arguments, capsys).err.splitlines()
    assert said[-1].endswith(f": error: {message}")
    assert len(said) == 2  # and one line of usage


def test_commands_know_the_options_that_they_leave_out():
    args = cli.build_parser().parse_args(["merge", "--adapter", "a", "--out", "o"])
    assert {getattr(args, option.name) for option in EVERY} == {None}


def test_completion_works_in_bash(capsys, tmp_path):
    (tmp_path / "complete").write_text(ended(["--print-completion", "bash"], capsys).out)
    script = (
        f"source {tmp_path / 'complete'}\n"
        'completed() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()\n'
        '  _shtab_stonk_pipeline "$1" "${@: -1}" "${@: -2:1}"; echo "${COMPREPLY[@]}"; }\n'
        "complete -p stonk-pipeline >/dev/null && completed stonk-pipeline grpo\n"
        "completed stonk-pipeline sft --hor\n"
        "completed stonk-pipeline sft --recipe qwen\n"
        "completed stonk-pipeline models pro\n"
    )
    done = subprocess.run([shutil.which("bash"), "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split("\n")[:4] == ["grpo-first grpo-second", "--horizon", "qwen-1.5b qwen-7b", "promote"]


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_is_there_for_every_shell_that_is_named(shell, capsys):
    assert "stonk-pipeline" in ended(["--print-completion", shell], capsys).out
