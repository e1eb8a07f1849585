"""Shared code names no contract: it asks the value that `stonk_pipeline.contracts.CONTRACTS` holds for each."""

import ast
import pkgutil
from pathlib import Path
from pkgutil import resolve_name

import pytest

from stonk_pipeline import contracts
from stonk_pipeline.contract import Later
from stonk_pipeline.contracts import CONTRACTS, contract_of
from stonk_pipeline.contracts.recipes import load_config, recipe_files

ROOT = Path(__file__).parents[3]
LIST = ROOT / "stonk_pipeline" / "contracts" / "__init__.py"
ROOMS = [module.name for module in pkgutil.iter_modules(contracts.__path__) if module.ispkg]
NAMES = {contract.name for contract in CONTRACTS}
SETTINGS = {contract.settings.__name__ for contract in CONTRACTS}


def shared_files():
    for folder in ("stonk_pipeline", "tasks", "preprocessing"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            rooms = path.relative_to(ROOT).parts[:3]
            if path != LIST and not any(rooms == ("stonk_pipeline", "contracts", room) for room in ROOMS):
                yield path


def named(tree):
    """What of a contract's own a file imports, names, or asks for."""
    words = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if id(node) in words:
            continue
        if isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{name.name}" for name in node.names]
            yield from (name for name in whole if any(f"contracts.{room}" in name for room in ROOMS))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in NAMES or any(f"contracts.{room}." in node.value for room in ROOMS):
                yield repr(node.value)
        elif isinstance(node, ast.Name) and node.id in SETTINGS:
            yield node.id


def test_every_room_is_in_the_list_and_nothing_else():
    assert sorted(ROOMS) == sorted(NAMES)


@pytest.mark.parametrize("path", shared_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_shared_code_names_no_contract(path):
    assert list(named(ast.parse(path.read_text(encoding="utf-8")))) == [], "ask the contract for it instead"


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_a_contract_is_whole(contract):
    assert list(contract.recipes.glob("*.yaml")), f"{contract.recipes} has no recipe"
    assert contract.settings.model_fields["contract"].default == contract.name
    assert set(contract.distinguishing) <= set(contract.settings.model_fields)
    for step in contract.graph.values():
        assert step.load().name == step.directory
        assert not step.gate or step.gate in contract.graph
    functions = [value for value in vars(contract).values() if isinstance(value, Later)]
    functions += [command.run for command in contract.commands if isinstance(command.run, Later)]
    assert all(callable(resolve_name(function.entry)) for function in functions)


@pytest.mark.parametrize("name", recipe_files())
def test_a_recipe_lies_with_its_contract(name):
    assert recipe_files()[name].parent == contract_of(load_config(name)).recipes


def test_no_two_contracts_share_what_tells_them_apart():
    for one, other in ((one, other) for one in CONTRACTS for other in CONTRACTS if one is not other):
        assert one.suffix != other.suffix
        assert not {command.name for command in one.commands} & {command.name for command in other.commands}
        assert not {path.stem for path in one.recipes.glob("*")} & {path.stem for path in other.recipes.glob("*")}
