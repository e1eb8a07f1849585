"""Memory of a machine, with the limits of control groups."""

import pytest

from stonk_pipeline.runs.machine import main_memory

MEMINFO = """MemTotal:       20000 kB
MemFree:         1000 kB
MemAvailable:   15000 kB
SwapTotal:       3000 kB
HugePages_Total:    0
"""


@pytest.fixture
def root(tmp_path):
    def write(**files):
        for name, text in {"proc/meminfo": MEMINFO, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_main_memory_is_that_of_the_machine_where_nothing_limits_it(root):
    found = main_memory(root(**{"proc/self/cgroup": "0::/user\n", "sys/fs/cgroup/user/memory.max": "max\n"}))
    assert found == (20000 * 1024, 15000 * 1024, 3000 * 1024, "this machine")


def test_main_memory_is_limited_by_a_control_group_or_one_above_it(root):
    files = {"proc/self/cgroup": "0::/one/two\n", "sys/fs/cgroup/one/memory.max": "9000000\n"}
    files |= {"sys/fs/cgroup/one/memory.current": "2000000\n", "sys/fs/cgroup/one/memory.swap.max": "0\n"}
    assert main_memory(root(**files)) == (9_000_000, 7_000_000, 0, "this container")


def test_main_memory_is_limited_at_the_top_that_a_container_sees(root):
    files = {"proc/self/cgroup": "0::/../outside\n", "sys/fs/cgroup/memory.max": "9000000\n"}
    assert main_memory(root(**files)).total == 9_000_000


def test_main_memory_is_limited_by_groups_of_the_first_version(root):
    files = {"proc/self/cgroup": "5:cpu,memory:/box\n0::/\n"}
    files |= {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}
    assert main_memory(root(**files)).total == 20000 * 1024
    files |= {"sys/fs/cgroup/memory/box/memory.limit_in_bytes": "8000000\n"}
    assert main_memory(root(**files)).total == 8_000_000


def test_main_memory_is_unknown_where_nothing_tells(root):
    assert main_memory(root(**{"proc/meminfo": "nonsense\n"})) is None
