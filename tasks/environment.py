"""Sets the environment of every process that talks to a Prefect server or is one; done when `tasks` is imported."""

import os
from pathlib import Path

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
NOT_THROUGH = ("no_proxy", "NO_PROXY")

HOME = "PREFECT_HOME"
BELOW_HOME = {
    "PREFECT_LOCAL_STORAGE_PATH": ("storage", "PREFECT_RESULTS_LOCAL_STORAGE_PATH"),
    "PREFECT_MEMO_STORE_PATH": ("memo_store.toml", "PREFECT_SERVER_MEMO_STORE_PATH"),
    "PREFECT_LOGGING_SETTINGS_PATH": ("logging.yml", "PREFECT_LOGGING_CONFIG_PATH"),
}
"""Variable -> (its path below PREFECT_HOME, another name of the variable): what Prefect 3.7 says is there, and has in
`~/.prefect` all the same."""


def settle() -> None:
    """Switches Prefect's telemetry off, keeps its files below its home, and asks this machine without a proxy."""
    # Prefect reports usage to its makers otherwise, and prints an error where it cannot. Set either to another value
    # to allow it.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    if home := os.environ.get(HOME):
        for variable, (name, other) in BELOW_HOME.items():
            if other not in os.environ:
                os.environ.setdefault(variable, str(Path(home).expanduser() / name))
    ask_directly(*LOOPBACK_NAMES)


def ask_directly(*hosts: str) -> None:
    """Adds hosts to those that this process and its children ask without the environment's proxy, if there is one.

    Where none is named nothing is set: on some systems it would hide the system's own proxy.
    """
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in PROXIES):
        return
    known = next((value for name in NOT_THROUGH if (value := os.environ.get(name))), "")
    names = [name for part in known.split(",") if (name := part.strip())]
    if "*" not in names:
        names += [host for host in hosts if host not in names]
    for name in NOT_THROUGH:
        os.environ[name] = ",".join(names)
