#!/usr/bin/env bash
# Makes .venv fit this checkout: Python, libraries, the project itself (editable). Run again, it takes a moment.
#
#   ./setup.sh
#   PYTHON=/path/to/python ./setup.sh     with that Python (3.11 or later)
#   STONK_DEVICE=cpu|gpu ./setup.sh       instead of looking for an NVIDIA GPU
#
# An interrupted set-up is taken up or begun anew by the next one; two at once wait for each other (where flock exists).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly venv=.venv py=.venv/bin/python log=.venv/setup.log
readonly stamp=.venv/setup.stamp # what the finished .venv was made from
readonly busy=.venv/setup.busy   # stands while packages are being written
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0 # PIP_USER: a user's pip.conf may set it; a venv refuses it
unset PYTHONHOME PYTHONPATH

say() { echo "setup: $*" >&2; }
fail() { say "$*" && exit 1; }
works() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' &>/dev/null; }
version() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])'; }

# 3.11 first: the pinned set is tested on it, and a CPU build of torch may be at hand for it alone.
find_python() {
    local candidate without_venv="" candidates=(python3.11 python3.12 python3.13 python3)
    if [[ -n ${PYTHON:-} ]]; then
        works "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11 or later"
        candidates=("$PYTHON")
    fi
    for candidate in "${candidates[@]}"; do
        works "$candidate" || continue
        "$candidate" -c 'import ensurepip, venv' &>/dev/null && echo "$candidate" && return
        without_venv=${without_venv:-$candidate}
    done
    [[ -z $without_venv ]] || fail "$without_venv has no venv module (Debian, Ubuntu: install $(basename "$without_venv")-venv)"
    fail "no Python 3.11 or later found; install one, or name it: PYTHON=/path/to/python $0"
}

find_device() {
    case ${STONK_DEVICE:-} in
        cpu | gpu) echo "$STONK_DEVICE" ;;
        "") if [[ "$(nvidia-smi -L 2>/dev/null)" == *"GPU 0"* ]]; then echo gpu; else echo cpu; fi ;;
        *) fail "STONK_DEVICE=$STONK_DEVICE: use cpu or gpu" ;;
    esac
}

inputs() { echo "$device $PWD $(cat setup.sh pyproject.toml "constraints/$device.txt" | cksum)"; }
finished() {
    [[ -f $stamp && "$(<$stamp)" == "$(inputs)" && ! -e $busy ]] || return 1
    if [[ -n ${PYTHON:-} ]]; then asked_python; else works "$py"; fi
}
asked_python() { [[ "$(version "$py" 2>/dev/null)" == "$(version "$PYTHON")" ]]; }

# True if packages can be added to what .venv holds: it runs, stands where it was made, is for this device and Python, and
# no earlier set-up was stopped while it wrote.
sound() {
    works "$py" && "$py" -c 'import pip' &>/dev/null && [[ ! -e $busy ]] || return 1
    [[ -z ${PYTHON:-} ]] || asked_python || return 1
    [[ ! -f $stamp || "$(<$stamp)" == "$device $PWD "* ]]
}

make_venv() {
    local python=$1
    if [[ -n $(ls -A $venv) ]]; then
        # The log is the sign that an earlier set-up made it.
        [[ -f $log ]] || fail "$PWD/$venv is not a usable environment and not made by this script; move it away"
        say "replacing the unfinished or unfitting $venv"
        find $venv/ -mindepth 1 -maxdepth 1 ! -name "$(basename $log)" -exec rm -rf {} +
    fi
    echo "$("$python" --version) at $python" >$log
    "$python" -m venv $venv >>$log 2>&1 || fail "$python cannot make a virtual environment (details: $venv/setup.log)"
}

need_disk() {
    local needed=$1 free
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
    ((free >= needed)) || fail "$free GB of disk are free at $PWD; $needed are needed"
}

# pip, silent; a failure before it wrote anything leaves the environment as it was, so `busy` goes.
pip_install() {
    echo "pip install $*" >$log.last
    touch $busy
    local status=0
    "$py" -m pip install --no-compile "$@" >>$log.last 2>&1 || status=1
    cat $log.last >>$log
    if ((status == 0)) || ! grep -q '^Installing collected packages' $log.last; then rm $busy; fi
    return $status
}

explain() {
    local details="(details: $log)"
    if grep -qE 'No space left|Errno 28' $log.last; then
        fail "the disk is full $details"
    elif grep -qE 'NewConnection|NameResolution|Timeout|ProxyError|SSLError|Connection (refused|reset)' $log.last; then
        fail "pip cannot reach its package index: check the network, or pip's proxy and index settings $details"
    fi
    fail "pip: $(grep '^ERROR' $log.last | tail -n 1 | cut -c -200) $details"
}

install_torch() {
    local torch version='from importlib.metadata import version; print(version("torch").split("+")[0])'
    torch=$(sed -nE 's/^ *"(torch==[0-9.]+)".*/\1/p' pyproject.toml)
    [[ "torch==$("$py" -c "$version" 2>/dev/null)" != "$torch" ]] || return 0 # whichever build it is
    say "installing $torch"
    if [[ $(uname -s) == Linux ]]; then # elsewhere there is one build, and it is for the CPU
        if pip_install --no-deps "$torch+cpu"; then return; fi
        say "pip finds no CPU build of $torch; taking the one for CUDA, several GB, which runs on the CPU too"
        need_disk 10
    fi
    pip_install -c constraints/cpu.txt "$torch" || explain
}

install_cpu() {
    # What is built here (ta, the project) is built with pinned tools, so they come first.
    pip_install -c constraints/cpu.txt setuptools hatchling editables || explain
    install_torch
    say "installing or checking $(grep -c '==' constraints/cpu.txt) packages (two minutes when all are new)"
    pip_install --no-deps --no-build-isolation -r constraints/cpu.txt || explain
    pip_install --no-deps --no-build-isolation -e . || explain
}

install_gpu() {
    say "installing $(grep -c '==' constraints/gpu.txt) packages for CUDA (many minutes)"
    pip_install -c constraints/gpu.txt -e '.[gpu,dev]' || explain
}

# On all cores, which pip would do on one: half a minute less. Files in Python 2 and templates fail; no harm in that.
compile() { "$py" -m compileall -q -j 0 -x '/tests?/' $venv/lib/python3*/site-packages >/dev/null 2>&1 || true; }

[[ -z ${PYTHON:-} ]] || find_python >/dev/null
device=$(find_device)
if finished; then exit; fi

# What is behind a link is another's, and would be emptied here as unfitting.
[[ ! -L $venv ]] || fail "$PWD/$venv is a link to $(readlink $venv); remove the link, or run what is behind it yourself"
mkdir -p $venv || fail "cannot write to $PWD"
if command -v flock >/dev/null; then
    exec 9<$venv # the folder itself: nothing is left over, and the lock goes with the process
    flock -n 9 || { say "waiting for another set-up of this checkout" && flock 9; }
    if finished; then exit; fi
fi

trap 'say "interrupted; run it again to continue"; exit 130' INT TERM HUP
if sound; then
    say "updating $venv ($device)"
    : >$log
else
    python=$(find_python)
    if [[ $device == cpu ]]; then need_disk 6; else need_disk 20; fi
    say "making $venv ($device, Python $(version "$python"))"
    make_venv "$python"
fi
echo "$device $PWD unfinished" >$stamp
SECONDS=0
"install_$device"
compile
inputs >$stamp
rm -f $log.last
say "done in $SECONDS s"
