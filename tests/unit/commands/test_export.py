"""Export: what is refused before anything is merged, uploads to a real server of the hub's protocol, the model card."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stonk_pipeline.cli import main
from stonk_pipeline.commands.export_source import Source
from stonk_pipeline.commands.model_card import CARD, changed_settings, fence_around, write_card
from stonk_pipeline.contract import Card
from stonk_pipeline.contracts import CONTRACTS
from stonk_pipeline.contracts.recipes import load_config
from stonk_pipeline.contracts.runs import run_at
from stonk_pipeline.pipeline.compared import Verdict
from tests.hub_server import serving

ROOT = Path(__file__).parents[3]
PUSHING = """
import json, sys
from pathlib import Path
from stonk_pipeline.errors import PipelineError
from stonk_pipeline.models.pushing import push, require_pushable
for name, public in json.loads(sys.argv[2]):
    try:
        require_pushable(name)
        print(push(Path(sys.argv[1]), name, public=public))
    except PipelineError as error:
        print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["0123", "--run-dir", "x"], "ID and --run-dir: each names a model; give one"),
        (["--horizon", "3"], "--horizon: the model has settings of its own; leave out, or give --adapter"),
        (["--run-dir", "x", "--set", "seed=1"], "--set: the model has settings of its own"),
        (["--public"], "--public says who may read what --push-to-hub uploads"),
        (["--run-dir", "nowhere"], "nowhere: no run lies here (config.json is missing); give the directory of one"),
        (["--adapter", "nowhere"], "nowhere: no adapter there"),
        (["--models-dir", "nowhere"], "in nowhere/registry; it has none yet"),
        (["--push-to-hub", "a b/c"], "no name of a model; write it as me/my-model"),
    ],
)
def test_export_says_what_is_wrong_before_anything_is_written(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--out", "out", *options]) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def pushed(address, directory, *wanted, token="secret"):
    """What uploads say, of a process that asks this hub: the hub's library reads its settings once."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    settings |= {"HF_ENDPOINT": address, "HF_HOME": str(directory.parent / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    settings |= {"HF_TOKEN": token} if token else {}
    command = [sys.executable, "-c", PUSHING, str(directory), json.dumps(wanted)]
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.fixture
def export(tmp_path):
    directory = tmp_path / "out"
    directory.mkdir()
    for name in ("config.json", "model.safetensors", "origin.json"):
        (directory / name).write_text(f"{{}} {name}")
    (directory / CARD).write_text("# A model\n")
    return directory


def test_push_is_private_unless_it_is_to_be_public_and_leaves_paths_of_this_machine_here(export):
    with serving() as hub:
        hub.writer = "secret"
        hub.push("me/open", {})
        hub.public.add("me/open")
        said = pushed(hub.address, export, ("me/mine", False), ("me/shown", True), ("me/open", False))
        assert said[:2] == [f"{hub.address}/me/mine", f"{hub.address}/me/shown"]
        assert said[2].startswith("ConfigError: --push-to-hub me/open: everybody may read that model, and nothing was")
        assert hub.public == {"me/open", "me/shown"}
        for name in ("me/mine", "me/shown"):
            files = hub.commits[hub.branches[name, "main"]]
            assert {"config.json", "model.safetensors", CARD} <= files.keys()
            assert "origin.json" not in files
            assert files["model.safetensors"] == (export / "model.safetensors").read_bytes()
        assert hub.commits[hub.branches["me/open", "main"]] == {}


def test_push_without_a_token_that_may_write_says_so(export):
    with serving() as hub:
        hub.writer = "secret"
        (said,) = pushed(hub.address, export, ("me/mine", False), token="")
        assert said.startswith(f"ConfigError: --push-to-hub: no token of {hub.address} on this machine; give one")
        assert not hub.asked
        (said,) = pushed(hub.address, export, ("me/mine", False), token="other")
        assert "this machine's token may not write there; give one with write access: `hf auth login`" in said
        assert f"{export} is whole: `hf upload me/mine {export}" in said
    (said,) = pushed(hub.address, export, ("me/mine", False))
    assert said.startswith("DownloadError: --push-to-hub me/mine: the hub did not take it (ConnectError")


CARD_OF = Card("It is shown closes.", "Real bars of AAPL", "<answer>1</answer>", "One is taken.", ("It knows little.",))
VERDICT = Verdict(model="last", finding="no evidence", sentence="No evidence.", skill=0.01, low=-0.02, high=0.04)


def written(source, card, tmp_path):
    write_card(source, card, "vllm serve out", tmp_path)
    return (tmp_path / CARD).read_text(encoding="utf-8")


def source_of(**settings):
    return Source(Path("adapter"), load_config("default", settings))


def test_card_without_a_comparison_says_that_nothing_was_tested(tmp_path):
    text = written(source_of(), CARD_OF._replace(tested="9 windows", scores=(("this model", "skill +1%"),)), tmp_path)
    assert "**Not tested.** No comparison of this model is at hand." in text
    assert "9 windows" not in text
    assert "skill +1%" not in text


def test_card_gives_verdict_interval_data_and_scores(tmp_path):
    card = CARD_OF._replace(tested="9 windows", scores=(("this model", "skill +1%"), ("ridge", "skill +2%")))
    text = written(replace(source_of(), verdict=VERDICT, days="days from a to b"), card, tmp_path)
    assert "**No evidence.** Its skill is +1.0 %, with an interval from -2.0 % to +4.0 %." in text
    assert "Real bars of AAPL. Trained on days from a to b. Tested on 9 windows" in text
    assert "| this model | skill +1% |\n| ridge | skill +2% |" in text
    assert "vllm serve out" in text


def test_card_of_a_control_says_so_first(tmp_path):
    control = Source(Path("adapter"), load_config("control-random-reward"))
    assert "**This is a control run (random reward)" in written(control, CARD_OF, tmp_path)


def test_card_names_no_folder_of_this_machine(tmp_path):
    (tmp_path / "secret" / "bars").mkdir(parents=True)
    model = tmp_path / "secret" / "base"
    model.mkdir()
    places = {"data": {"data_dir": str(tmp_path / "secret" / "bars")}, "model": {"name": str(model)}}
    text = written(source_of(**places, results_dir=str(tmp_path / "secret")), CARD_OF, tmp_path)
    assert "secret" not in text
    assert "| `data.data_dir` | bars |" in text
    assert "| `model.name` | base |" in text


def test_quoted_text_cannot_close_its_fence():
    card = CARD_OF._replace(messages=[{"role": "user", "content": "````\n# not mine"}])
    assert fence_around(card) == "`````"
    assert fence_around(CARD_OF) == "```"


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_every_contract_tells_of_a_model_whose_run_is_gone(contract):
    assert contract.card is not None
    card = contract.card(contract.settings(), None, ["AAPL", "MSFT"])
    assert (card.tested, card.scores, card.messages) == ("", (), None)
    assert "<answer>" in card.answer
    assert "Generated bars" in card.data
    assert changed_settings(Source(Path("x"), contract.settings())) == []
    assert run_at(Path("x"), contract.settings()).contract is contract
