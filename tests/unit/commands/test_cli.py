"""The command line: options to settings, words for mistakes, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stonk_pipeline import __version__
from stonk_pipeline.cli import build_parser, main
from stonk_pipeline.commands.options import COMMON, resolve_config
from stonk_pipeline.contracts.forecast import FORECAST
from stonk_pipeline.contracts.forecast.steps import STEPS
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import write_run
from stonk_pipeline.errors import ConfigError

ROOT = Path(__file__).parents[3]
TINY = ("--set", "data.market.tickers=1", "--set", "data.market.days=400")
"""The smallest generated market that gives windows for every part."""


def resolve(*options):
    return resolve_config(build_parser().parse_args(["preprocess", "--run-dir", "x", "--recipe", "default", *options]))


def setting(config, path):
    for name in path.split("."):
        config = getattr(config, name)
    return config


def changed(config):
    """Settings that differ from the recipe's, dotted."""

    def flat(values, path=""):
        for name, value in values.items():
            if isinstance(value, dict):
                yield from flat(value, f"{path}{name}.")
            else:
                yield f"{path}{name}", value

    before = dict(flat(load_config("default").model_dump()))
    return {name: value for name, value in flat(config.model_dump()) if value != before[name]}


@pytest.mark.parametrize(
    ("option", "value", "path", "expected"),
    [
        ("--stock", "AAPL", "data.stocks", ["AAPL"]),
        ("--stock", "AAPL, msft,,GE", "data.stocks", ["AAPL", "msft", "GE"]),
        ("--stock", "ON", "data.stocks", ["ON"]),  # no YAML, in which ON is true
        ("--data-dir", "my bars", "data.data_dir", "my bars"),
        ("--model", "Qwen/Qwen2.5-7B-Instruct", "model.name", "Qwen/Qwen2.5-7B-Instruct"),
        ("--max-seq-length", "1024", "model.max_seq_length", 1024),
        ("--lora-rank", "8", "lora.rank", 8),
        ("--gpu-memory-utilization", "0.7", "model.gpu_memory_utilization", 0.7),
        ("--cuda-devices", "1,0", "cuda_devices", "1,0"),
        ("--cuda-devices", "", "cuda_devices", ""),  # none at all
        ("--results-dir", "r", "results_dir", "r"),
        ("--models-dir", "m", "models_dir", "m"),
        ("--horizon", "5", "data.horizon", 5),
        ("--window", "20", "data.window", 20),
        ("--seed", "3", "seed", 3),
    ],
)
def test_options_change_the_setting_they_name_and_no_other(option, value, path, expected):
    assert changed(resolve(option, value)) == {path: expected}


def test_options_exist_for_everything_that_the_specification_names():
    specified = {"stock", "model", "max_seq_length", "lora_rank", "gpu_memory_utilization", "cuda_devices"}
    assert specified <= {option.name for option in (*COMMON, *FORECAST.options)}
    assert changed(resolve("--stock", "all")) == {}


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("grpo_first.steps=50", "grpo_first.steps", 50),
        ("grpo_first.learning_rate=1e-5", "grpo_first.learning_rate", 1e-5),
        ("grpo_first.rewards.trading=0", "grpo_first.rewards.trading", 0.0),
        ("prompt.show_dates=true", "prompt.show_dates", True),
        ("prompt.show_dates=yes", "prompt.show_dates", True),
        ("lora.alpha=64", "lora.alpha", 64),
        ("data.stocks=[AAPL, GE]", "data.stocks", ["AAPL", "GE"]),
        ("model.name=a=b", "model.name", "a=b"),
        ("data.market.kind=random_walk", "data.market.kind", "random_walk"),
        ("lora={alpha: 3}", "lora.alpha", 3),
    ],
)
def test_set_changes_any_setting(text, path, expected):
    assert changed(resolve("--set", text)) == {path: expected}


def test_set_takes_dates():
    config = resolve("--set", "data.val_start=2020-01-01", "--set", "data.test_start=2021-01-01")
    assert (config.data.val_start, config.data.test_start) == ("2020-01-01", "2021-01-01")


def test_set_can_be_given_more_than_once_and_the_last_wins():
    config = resolve("--seed", "1", "--set", "seed=2", "--set", "lora.rank=4", "--set", "lora.rank=5")
    assert changed(config) == {"seed": 2, "lora.rank": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lora.rank", "--set lora.rank: write it as KEY=VALUE, e.g. grpo_first.steps=50"),
        ("=3", "--set =3: write it as KEY=VALUE"),
        ("", "--set : write it as KEY=VALUE"),
        ("lora.rank=[3", "--set lora.rank=[3: "),  # not YAML
        ("lora.rank=: {", "--set lora.rank=: {: "),
        ("lora.rank=0", "lora.rank: Input should be greater than or equal to 1 (got 0)"),
        ("lora.rank=", "lora.rank: Input should be a valid integer (got None)"),
        ("lora.rnak=3", "lora.rnak: no such setting; did you mean lora.rank? (got 3)"),
        ("lora.rank.x=3", "lora.rank: "),
        ("lora=3", "lora: "),
        ("nothing=3", "nothing: no such setting (got 3)"),
        ("data.val_start=2020-01-01", "give val_start and test_start together, or neither"),
    ],
)
def test_set_names_what_is_wrong(text, message):
    with pytest.raises(ConfigError) as caught:
        resolve("--set", text)
    assert message in str(caught.value)


def test_resolve_config_takes_a_recipe_that_suits_the_model():
    parse = build_parser().parse_args
    tiny = resolve_config(parse(["preprocess", "--run-dir", "x", "--model", "stonk-tiny"]))
    assert tiny == load_config("default")
    other = resolve_config(parse(["preprocess", "--run-dir", "x", "--model", "mine"]))
    assert other == load_config("qwen-1.5b", {"model": {"name": "mine", "knowledge_cutoff": None}})


def test_resolve_config_reads_a_recipe_of_the_users(tmp_path):
    (tmp_path / "mine.yaml").write_text("seed: 8\nlora:\n  rank: 4\n")
    arguments = ["preprocess", "--run-dir", "x", "--recipe", str(tmp_path / "mine.yaml"), "--seed", "9"]
    config = resolve_config(build_parser().parse_args(arguments))
    assert (config.seed, config.lora.rank) == (9, 4)


def read_settings(directory):
    return json.loads((directory / "config.json").read_text())


def test_main_runs_a_stage_once(tmp_path, capsys):
    arguments = ["preprocess", "--run-dir", str(tmp_path / "run"), "--recipe", "default", *TINY]
    assert main(arguments) == 0
    done = (tmp_path / "run" / "preprocessing" / "manifest.json").read_bytes()
    said = capsys.readouterr().out
    assert f"{tmp_path / 'run' / 'preprocessing'}: done; " in said
    assert read_settings(tmp_path / "run")["data"]["market"] == load_config("default").data.market.model_dump() | {
        "tickers": 1,
        "days": 400,
    }
    assert main(arguments[:3]) == 0  # the run remembers its settings
    assert "@progress" not in capsys.readouterr().out
    assert (tmp_path / "run" / "preprocessing" / "manifest.json").read_bytes() == done


def test_main_changes_the_settings_of_a_run(tmp_path):
    run = write_run(
        tmp_path / "run", load_config("default", {"seed": 4, "data": {"market": {"tickers": 1, "days": 400}}})
    )
    assert main(["preprocess", "--run-dir", str(run.directory), "--set", "sft.epochs=1", "--lora-rank", "3"]) == 0
    settings = read_settings(run.directory)
    assert (settings["seed"], settings["sft"]["epochs"], settings["lora"]["rank"]) == (4, 1.0, 3)


def test_main_takes_another_recipe_for_a_run(tmp_path):
    run = write_run(tmp_path / "run", load_config("default", {"seed": 4}))
    assert main(["preprocess", "--run-dir", str(run.directory), "--recipe", "small", "--seed", "5"]) == 0
    assert read_settings(run.directory) == json.loads(load_config("small", {"seed": 5}).model_dump_json())


def test_main_refuses_options_that_the_finished_stages_do_not_fit(tmp_path, capsys):
    run = ["--run-dir", str(tmp_path / "run")]
    assert main(["preprocess", *run, "--recipe", "default", *TINY]) == 0
    before = read_settings(tmp_path / "run")
    assert main(["grpo-first", *run, "--horizon", "5"]) == 1
    said = capsys.readouterr().err
    assert "with other settings or inputs than grpo-first is to run with; run preprocess again" in said
    assert read_settings(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["preprocess", "--recipe", "default", "--run-dir", "file"], "file: a file, where a folder is to be; give the"),
        (["preprocess", "--recipe", "default", "--run-dir", "file/x"], "file/x: not a directory; check this path"),
        (
            ["preprocess", "--recipe", "default", "--run-dir", "x", "--data-dir", "~nosuch/x"],
            "~nosuch/x: leads nowhere",
        ),
        (["preprocess", "--recipe", "default", "--run-dir", "x", "--model", "~nosuch/x"], "~nosuch/x: leads nowhere"),
        (["build-tiny", "--out", "file"], "file: file exists; check this path"),
        (
            ["forecast", "--base", "--recipe", "default", "--forecasts-dir", "file"],
            "file: file exists; check this path",
        ),
        (["sft", "--run-dir", "file"], "file/config.json: cannot be read (Not a directory)"),
        (["report", "--run-dir", "file"], "cannot be read (Not a directory)"),
        (["verify", "--forecasts-dir", "file"], "cannot be read (Not a directory)"),
    ],
)
def test_main_says_which_path_is_of_the_wrong_kind(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_main_refuses_numbers_that_are_none(capsys):
    with pytest.raises(SystemExit):
        main(["stage-one", "--run-dir", "x", "--lr", "["])
    assert "--lr: '[' is no number; give one, or two with a comma" in capsys.readouterr().err


def test_main_names_the_stage_that_is_missing(tmp_path, capsys):
    write_run(tmp_path / "run", load_config("default", {"seed": 4}))
    assert main(["sft", "--run-dir", str(tmp_path / "run")]) == 1
    assert "sft needs preprocess: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("preprocess", "--recipe", "no-such"), "error: no recipe 'no-such': give one of default, "),
        (("preprocess", "--recipe", "default", "--lora-rank", "0"), "lora.rank: Input should be greater than or equal"),
        (
            ("preprocess", "--recipe", "default", "--set", "lora.rnak=1"),
            "lora.rnak: no such setting; did you mean lora.rank?",
        ),
        (("preprocess", "--recipe", "default", "--set", "lora.rank=[1"), "error: --set lora.rank=[1: "),
        (("preprocess", "--recipe", "default", "--data-dir", "no such"), "error: no such: no such folder or file"),
        (("preprocess", "--recipe", "default", "--stock", "../../etc/passwd"), "is not a stock symbol"),
        (("preprocess", "--recipe", "default", "--stock", "XYZ"), "error: XYZ: no bars of this stock"),
        (("preprocess", "--recipe", "default", "--stock", ","), "data.stocks: "),
        (("sft",), "no run lies here (config.json is missing)"),
        (("report",), "error: "),
    ],
)
def test_main_says_what_is_wrong_in_one_message(tmp_path, capsys, options, message):
    command, *rest = options
    assert main([command, "--run-dir", str(tmp_path / "run"), *rest]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert message in said.err
    assert "Traceback" not in said.err + said.out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["preprocess"],  # no --run-dir
        ["preprocess", "--run-dir", "x", "--lora-rank", "many"],
        ["preprocess", "--run-dir", "x", "--no-such-option"],
        ["report", "--run-dir", "x", "--stock", "AAPL"],  # a report has no settings
    ],
)
def test_main_ends_with_2_on_arguments_that_it_does_not_know(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m stonk_pipeline" in capsys.readouterr().err


def test_main_offers_every_step(capsys):
    for arguments in (["--help"], ["sft", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in (*STEPS, "report", "build-tiny", "--set KEY=VALUE", __version__))


def python(*arguments, **variables):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_help_imports_nothing_heavy():
    done = python("-X", "importtime", "-m", "stonk_pipeline", "preprocess", "--help")
    assert (done.returncode, done.stdout.splitlines()[0][:34]) == (0, "usage: python -m stonk_pipeline pr")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "stonk_pipeline.cli" in imported
    assert not imported & {"torch", "transformers", "trl", "vllm", "unsloth", "prefect", "pandas", "numpy"}


def test_python_m_hands_on_the_exit_code(tmp_path):
    done = python("-m", "stonk_pipeline", "sft", "--run-dir", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {tmp_path}: no run lies here (config.json is missing)")
    assert python("-m", "stonk_pipeline", "nonsense").returncode == 2


def test_resolve_config_forgets_the_cutoff_of_a_model_that_is_replaced():
    def cutoff(*options):
        arguments = ["preprocess", "--run-dir", "x", "--recipe", "qwen-7b", *options]
        return resolve_config(build_parser().parse_args(arguments)).model.knowledge_cutoff

    assert cutoff() == "2024-09-19"
    assert cutoff("--model", "someone/newer") is None
    assert cutoff("--model", "someone/newer", "--set", "model.knowledge_cutoff=2025-01-01") == "2025-01-01"


def test_a_run_keeps_its_contract(tmp_path, capsys):
    run = write_run(tmp_path / "run", load_config("small"))
    settings = (run.directory / "config.json").read_bytes()
    assert main(["preprocess", "--run-dir", str(run.directory), "--recipe", "direction"]) == 1
    assert (
        "a run of the forecast contract, and these settings are of another; give another --run-dir"
        in capsys.readouterr().err
    )
    assert main(["preprocess", "--run-dir", str(run.directory), "--news", "x"]) == 1
    assert "--news is an option of the direction contract" in capsys.readouterr().err
    assert (run.directory / "config.json").read_bytes() == settings


def test_an_option_of_several_contracts_stands_among_the_general_ones(capsys):
    with pytest.raises(SystemExit):
        main(["sft", "--help"])
    said = capsys.readouterr().out
    assert said.count("--lora-rank N") == 1
    assert said.index("model:") < said.index("rank of the adapters") < said.index("run:")
