"""Puts malformed inputs to every reader of the project and counts what comes of them.

    .venv/bin/python benchmarks/fuzz.py                            # 1,000 inputs for each reader
    .venv/bin/python benchmarks/fuzz.py --reader news --count 50 --seed 7

Right is the project's own error, with the file or option, place and remedy; or a value that can be used. Wrong is any
other exception, damage that is taken in silence, more than 10 s, or more than 1 GB. Ends with 1 if anything is wrong.
"""

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
os.environ |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}  # for every model that is read
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from fuzzing.readers import READERS  # noqa: E402
from fuzzing.worker import KINDS, run  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reader", action="append", choices=[reader.name for reader in READERS])
    parser.add_argument("--count", type=int, default=1000, help="inputs for each reader")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    wrong: list[str] = []
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPU cores, seed {args.seed}\n", flush=True)
    print(f"| reader | inputs | {' | '.join(KINDS)} | slowest, s | largest, MB |")
    print("| --- " * (len(KINDS) + 4) + "|")
    for reader in READERS:
        if args.reader and reader.name not in args.reader:
            continue
        found = run(reader, args.seed, args.count)
        counts = " | ".join(f"{found.counts[kind]:,}" for kind in KINDS)
        total = sum(found.counts.values())
        print(f"| {reader.name} | {total:,} | {counts} | {found.slowest:.1f} | {found.largest} |", flush=True)
        wrong += [f"{reader.name}: {kind}: {name}: {why}" for kind, name, why in found.findings]
    for line in wrong:
        sys.stderr.write(line + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
