"""Feeds readers of strangers' data with inputs that a coverage-guided fuzzer (atheris) makes.

    scripts/fuzz.py TARGET CORPUS_DIRECTORY [-runs=N] [other options of libFuzzer]

Inputs that reach new code are kept in the corpus directory, which begins with the seeds and with what earlier runs
found (tests/data/fuzz). One that breaks a target is written to ./crash-…, one that takes too long to ./timeout-…, one
that takes too much memory to ./oom-….
"""

import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1])]

with atheris.instrument_imports(include=["certmongerd"]):
    from fuzz_targets import TARGETS, kept, seeds

LIMITS = ("-max_len=16384", "-timeout=25", "-rss_limit_mb=512")
"""Bytes of an input; seconds for one; memory of all runs together, which grows when a reader leaks."""


def main() -> None:
    """Run the target that the command line names."""
    if len(sys.argv) < 3 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"{__doc__}\nTargets: {', '.join(TARGETS)}")
    name, corpus = sys.argv[1], Path(sys.argv[2])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate((*seeds(name), *kept(name))):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], str(corpus), *LIMITS, *sys.argv[3:]], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
