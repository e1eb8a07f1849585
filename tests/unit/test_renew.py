"""constraints/renew.py: which files a pinned line may be installed from, and the lists that it writes."""

import http.server
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from packaging.requirements import Requirement

SCRIPT = Path(__file__).parents[2] / "constraints" / "renew.py"
spec = importlib.util.spec_from_file_location("renew", SCRIPT)
renew = importlib.util.module_from_spec(spec)
spec.loader.exec_module(renew)

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_aarch64.manylinux_2_17_aarch64", "macosx_11_0_arm64")
WHEELS = {f"x-1.0-cp3{minor}-cp3{minor}-{platform}.whl" for minor in (11, 12, 13, 14) for platform in PLATFORMS}
STABLE = {f"x-1.0-cp39-abi3-{platform}.whl" for platform in PLATFORMS}
UNFIT = {
    "x-1.0-cp310-cp310-manylinux_2_28_x86_64.whl",  # another Python
    "x-1.0-cp314-cp314t-manylinux_2_28_x86_64.whl",  # another build of it
    "x-1.0-cp311-cp311-win_amd64.whl",
    "x-1.0-cp311-cp311-musllinux_1_2_x86_64.whl",
    "x-1.0-cp311-cp311-macosx_10_9_x86_64.whl",
    "x-1.0-pp311-pypy311_pp73-manylinux_2_28_x86_64.whl",
    "x-1.0.1-py3-none-any.whl",  # another version
    "x-1.0.win32.exe",  # no form that is installed
}


@pytest.mark.parametrize(
    ("offered", "kept"),
    [
        (WHEELS | {"x-1.0.tar.gz"}, WHEELS),
        (STABLE | {"x-1.0.tar.gz"}, STABLE),
        ({"x-1.0-py2.py3-none-any.whl", "x-1.0.tar.gz"}, {"x-1.0-py2.py3-none-any.whl"}),
        ({"x-1.0-cp311-cp311-macosx_10_9_universal2.whl", "x-1.0.tar.gz"}, None),
        (STABLE - {f"x-1.0-cp39-abi3-{PLATFORMS[1]}.whl"} | {"x-1.0.tar.gz"}, None),
        ({"x-1.0.tar.gz"}, None),
    ],
)
def test_needed_keeps_what_fits_and_the_source_where_a_wheel_is_missing(offered, kept):
    assert renew.needed(Requirement("x==1.0"), offered | UNFIT, renew.MACHINES["cpu"]) == (kept or offered)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x==1.0", "x==1.0: no wheel for Python 3.11 on linux aarch64, and no source archive"),
        ('x==1.0 ; python_version < "3"', "its marker is true on none of the Pythons and machines"),
    ],
)
def test_needed_refuses_a_line_that_cannot_be_installed_everywhere(line, message):
    offered = STABLE - {f"x-1.0-cp39-abi3-{PLATFORMS[1]}.whl"}
    with pytest.raises(ValueError, match=message):
        renew.needed(Requirement(line), offered, renew.MACHINES["cpu"])


def test_needed_follows_markers():
    marker = 'x==1.0 ; sys_platform == "linux" and platform_machine == "x86_64" and python_full_version < "3.11.3"'
    kept = renew.needed(Requirement(marker), WHEELS, renew.MACHINES["cpu"])
    assert kept == {"x-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"}


def test_setup_takes_the_pythons_that_are_pinned():
    first, last = renew.PYTHONS[0], renew.PYTHONS[-1]
    assert f"{first} <= sys.version_info[:2] <= {last}" in (SCRIPT.parents[1] / "setup.sh").read_text()


class Index(http.server.BaseHTTPRequestHandler):
    """The simple API of an index that has one package."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/simple/x-y/" else 404)
        self.end_headers()
        file = {"filename": "x_y-1.0-py3-none-any.whl", "hashes": {"sha256": "ab" * 32}}
        self.wfile.write(json.dumps({"files": [file]}).encode())

    def log_message(self, *arguments: object) -> None:
        pass


def test_renew_writes_the_lists_of_an_index(tmp_path):
    shutil.copy(SCRIPT, tmp_path)
    for name in renew.MACHINES:
        (tmp_path / f"{name}.txt").write_text('# reasons\nX.y==1.0 ; sys_platform == "linux"\n')
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        index = f"http://127.0.0.1:{server.server_port}/simple"
        command = [sys.executable, tmp_path / "renew.py", "--index", index]
        assert subprocess.run(command, check=False).returncode == 0
        (tmp_path / "gpu.txt").write_text("absent==1.0\n")
        failed = subprocess.run(command, capture_output=True, text=True, check=False)
        server.shutdown()
    written = (tmp_path / "cpu.hashes.txt").read_text().splitlines()
    assert written[1:] == ['X.y==1.0 ; sys_platform == "linux" \\', f"    --hash=sha256:{'ab' * 32}"]
    assert failed.returncode == 1
    assert f"{index}/absent/" in failed.stderr
    assert failed.stderr.count("\n") <= 2
