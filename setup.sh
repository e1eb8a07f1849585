#!/usr/bin/env bash
# Makes .venv fit this checkout: Python, libraries, the project itself (editable). Run again, it takes a moment.
#
#   ./setup.sh
#   PYTHON=/path/to/python ./setup.sh     with that Python (3.11 to 3.14)
#   STONK_DEVICE=cpu|gpu ./setup.sh       instead of looking for an NVIDIA GPU
#   UV=1 ./setup.sh                       with uv instead of pip: the same files, faster
#
# What comes from a package index is the file whose hash stands in constraints/*.hashes.txt, or is not installed; torch's
# build for the CPU is the one exception (constraints/torch.txt says why).
#
# An interrupted set-up is taken up or begun anew by the next one; two at once wait for each other (where flock exists).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly venv=.venv py=.venv/bin/python log=.venv/setup.log
readonly stamp=.venv/setup.stamp # what the finished .venv was made from
readonly busy=.venv/setup.busy   # stands while packages are being written
readonly tools=.venv/setup.tools # the lines of the list for what builds the others
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0 # PIP_USER: a user's pip.conf may set it; a venv refuses it
unset PYTHONHOME PYTHONPATH

say() { echo "setup: $*" >&2; }
fail() { say "$*" && exit 1; }
# The files that are pinned are for these.
works() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' &>/dev/null; }
version() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])'; }

# 3.11 first: the pinned set is tested on it, and a CPU build of torch may be at hand for it alone.
find_python() {
    local candidate without_venv="" candidates=(python3.11 python3.12 python3.13 python3.14 python3)
    if [[ -n ${PYTHON:-} ]]; then
        works "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11 to 3.14"
        candidates=("$PYTHON")
    fi
    for candidate in "${candidates[@]}"; do
        works "$candidate" || continue
        "$candidate" -c 'import ensurepip, venv' &>/dev/null && echo "$candidate" && return
        without_venv=${without_venv:-$candidate}
    done
    [[ -z $without_venv ]] || fail "$without_venv has no venv module (Debian, Ubuntu: install $(basename "$without_venv")-venv)"
    fail "no Python 3.11 to 3.14 found; install one, or name it: PYTHON=/path/to/python $0"
}

find_device() {
    case ${STONK_DEVICE:-} in
        cpu | gpu) echo "$STONK_DEVICE" ;;
        "") if [[ "$(nvidia-smi -L 2>/dev/null)" == *"GPU 0"* ]]; then echo gpu; else echo cpu; fi ;;
        *) fail "STONK_DEVICE=$STONK_DEVICE: use cpu or gpu" ;;
    esac
}

inputs() { echo "$device $PWD $(cat setup.sh pyproject.toml constraints/{"$device",torch}.hashes.txt | cksum)"; }
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

# pip or uv, silent; a failure before it wrote anything leaves the environment as it was, so `busy` goes.
pip_install() {
    local status=0 installer=("$py" -m pip install --no-compile)
    [[ -z ${UV:-} ]] || installer=(uv pip install --python "$py")
    echo "pip install $*" >$log.last
    touch $busy
    "${installer[@]}" "$@" >>$log.last 2>&1 || status=1
    cat $log.last >>$log
    if ((status == 0)) || ! grep -qE '^(Installing collected packages|Prepared )' $log.last; then rm $busy; fi
    return $status
}

# Lists are whole, so that no resolver is needed; and each line has its hashes, which pip cannot ask of what a resolver adds.
pip_pinned() { pip_install --no-deps --no-build-isolation --require-hashes -r "$1" || explain; }

explain() {
    local details="(details: $log)" with=${UV:+uv}
    with=${with:-pip}
    if grep -qE 'No space left|Errno 28' $log.last; then
        fail "the disk is full $details"
    elif grep -q 'DO NOT MATCH THE HASHES' $log.last; then
        fail "$(sed -n '/DO NOT MATCH THE HASHES/{n;s/^ *\([^ ]*\) from \([^ #]*\).*/\1 at \2/p;}' $log.last | head -n 1)" \
            "is not the file that is pinned in constraints/ and was not installed. It may be damaged, repacked or forged, or" \
            "for a Python or machine that is not pinned. To fetch it anew, from PyPI itself if your index is another" \
            "(PIP_INDEX_URL): PIP_NO_CACHE_DIR=1 ./setup.sh $details"
    elif grep -q 'cause: Hash mismatch' $log.last; then
        fail "$(sed -n 's/^ *cause: Hash mismatch for `\(.*\)`$/\1/p' $log.last | head -n 1): what uv was given is not the" \
            "file that is pinned in constraints/ and was not installed $details"
    elif grep -qE 'NewConnection|NameResolution|Timeout|ProxyError|SSLError|Connection (refused|reset)' $log.last ||
        grep -q 'cause: client error' $log.last; then
        fail "$with cannot reach its package index: check the network, or $with's proxy and index settings $details"
    fi
    fail "$with: $(grep -iE '^(ERROR|  cause)' $log.last | tail -n 1 | cut -c -200) $details"
}

install_torch() {
    local torch version='from importlib.metadata import version; print(version("torch").split("+")[0])'
    torch=$(sed -nE 's/^ *"(torch==[0-9.]+)".*/\1/p' pyproject.toml)
    [[ "torch==$("$py" -c "$version" 2>/dev/null)" != "$torch" ]] || return 0 # whichever build it is
    say "installing $torch"
    if [[ $(uname -s) == Linux ]]; then # elsewhere there is one build, and it is for the CPU
        if pip_install --no-deps "$torch+cpu"; then return; fi
        # uv knows where its makers have it.
        if [[ -n ${UV:-} ]] && pip_install --no-deps --torch-backend cpu "$torch+cpu"; then return; fi
        say "pip finds no CPU build of $torch; taking the one for CUDA, several GB, which runs on the CPU too"
        need_disk 10
    fi
    pip_pinned constraints/torch.hashes.txt
}

install_all() {
    # What is built here (ta, the project) is built with pinned tools, so they come first.
    awk '/^[^ ]/ { wanted = /^(setuptools|hatchling|editables|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' \
        "constraints/$device.hashes.txt" >$tools
    pip_pinned $tools
    [[ $device == gpu ]] || install_torch
    local time="two minutes when all are new"
    [[ $device == cpu ]] || time="for CUDA; many minutes when all are new"
    say "installing or checking $(grep -c '==' "constraints/$device.hashes.txt") packages ($time)"
    pip_pinned "constraints/$device.hashes.txt"
    pip_install --no-deps --no-build-isolation -e . || explain # apart: it has no file that a hash could be of
}

# On all cores, which pip would do on one: half a minute less. Files in Python 2 and templates fail; no harm in that.
compile() { "$py" -m compileall -q -j 0 -x '/tests?/' $venv/lib/python3*/site-packages >/dev/null 2>&1 || true; }

[[ -z ${PYTHON:-} ]] || find_python >/dev/null
[[ -z ${UV:-} ]] || command -v uv >/dev/null || fail "UV is set, and there is no uv here; install it (pip install uv), or unset UV"
device=$(find_device)
if finished; then exit; fi

# What is behind a link is another's, and would be emptied here as unfitting.
for place in $venv $venv/{bin,lib,include,pyvenv.cfg,setup.*} $venv/lib/python3*{,/site-packages}; do
    [[ ! -L $place ]] || fail "$PWD/$place is a link to $(readlink "$place"); remove the link, or run what is behind it yourself"
done
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
install_all
compile
inputs >$stamp
rm -f $log.last $tools
say "done in $SECONDS s"
