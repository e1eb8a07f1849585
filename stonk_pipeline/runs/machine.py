"""Reads how much memory this machine or its graphics card has, with the limits of control groups (containers)."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from stonk_pipeline.files import locks

ROOT = Path("/")
UNLIMITED = 1 << 60
"""What control groups of the first version say where there is no limit is more than this."""
MIB = 1 << 20


class Memory(NamedTuple):
    """Memory in bytes."""

    total: int
    """All that a process can ever have."""
    free: int
    """What nobody uses now."""
    swap: int
    """What the system may move to a disk beyond `total`."""
    place: str
    """Whose it is: `this machine`, `this container`, `GPU 0`."""


def memory_of(cuda_devices: str | None) -> Memory | None:
    """Returns the memory that stages compute in: of the first card that they use, or of the machine.

    Args:
        cuda_devices: value of CUDA_VISIBLE_DEVICES; None takes the shell's.

    Returns:
        None where it cannot be known.
    """
    return card_memory(locks.accelerators(cuda_devices)) if on_card(cuda_devices) else main_memory()


def on_card(cuda_devices: str | None) -> bool:
    """Tells whether stages compute on an NVIDIA card: there is one, and torch is not the build for a CPU."""
    if locks.accelerators(cuda_devices) == [locks.CPU]:
        return False
    try:
        return not metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return False


def main_memory(root: Path = ROOT) -> Memory | None:
    """Returns the main memory, or the part of it that this process's control group may take; None if unknown.

    Args:
        root: where `proc` and `sys` lie.
    """
    said = _meminfo(root / "proc/meminfo")
    if "MemTotal" in said:
        found = Memory(
            said["MemTotal"], said.get("MemAvailable", said["MemTotal"]), said.get("SwapTotal", 0), "this machine"
        )
    else:
        pages, size = (
            os.sysconf(name) if name in os.sysconf_names else -1 for name in ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
        )
        if root != ROOT or pages <= 0 or size <= 0:
            return None
        found = Memory(pages * size, pages * size, 0, "this machine")
    for limit, used, swap in _groups(root):
        if limit < found.total:
            found = Memory(limit, min(found.free, max(limit - used, 0)), min(found.swap, swap), "this container")
    return found


def peak_of_process() -> int:
    """Returns the largest main memory that this process has had, in bytes."""
    own = _meminfo(ROOT / "proc/self/status").get("VmHWM")
    if own is not None:
        return own
    # Elsewhere. On Linux this is at least what the parent had: a child begins with its parent's memory.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _meminfo(path: Path) -> dict[str, int]:
    """Name -> bytes."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeError):
        return {}
    said = {}
    for line in lines:
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if number.isdecimal() and unit == "kB":
            said[name] = int(number) * 1024
    return said


def _groups(root: Path) -> Iterator[tuple[int, int, int]]:
    """Limit, use and limit of swap of each control group that this process is in, and of those above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            for top in (root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"):
                yield from _levels(top, path, "memory.max", "memory.current", "memory.swap.max")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            yield from _levels(top, path, "memory.limit_in_bytes", "memory.usage_in_bytes", "")


def _levels(top: Path, path: str, limit: str, used: str, swap: str) -> Iterator[tuple[int, int, int]]:
    # In a container the group is often the top of what can be seen, and its path is that of the world outside.
    below = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(below), -1, -1):
        folder = top.joinpath(*below[:depth])
        most = _number(folder / limit)
        if most is not None and most < UNLIMITED:
            swapped = _number(folder / swap) if swap else None
            yield most, _number(folder / used) or 0, UNLIMITED if swapped is None else swapped


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return None
    return int(text) if text.isdecimal() else None


def card_memory(devices: Sequence[str]) -> Memory | None:
    """Returns the memory of the smallest of these NVIDIA cards (numbers or UUIDs), None if it cannot be asked."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    asked = [
        command,
        f"--id={','.join(devices)}",
        "--query-gpu=memory.total,memory.free",
        "--format=csv,noheader,nounits",
    ]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout
        cards = [tuple(int(part) * MIB for part in line.split(",")) for line in said.splitlines() if line.strip()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    if not cards or any(len(card) != 2 for card in cards):
        return None
    total, free = min(cards)
    return Memory(total, free, 0, f"GPU {devices[0]}")
