"""Makes the bundled example, runs/example, from a finished run.

    bft-nas search --flops 20M,50M --confirm-divisor 3 --name to-show
    python benchmarks/make_example.py to-show

Takes the texts that a dashboard reads: settings, journal, results, references, confirmations, latencies, architectures
and learning curves.
Leaves out weights, checkpoints and the report. Of a path from the root of the file system the last part is left.
An example that is there already is replaced.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

from bft_nas.core.errors import UserError
from bft_nas.record import RUNS, Run

TEXTS = (
    "run.yaml",
    "study.journal",
    "results.csv",
    "references.csv",
    "confirmations.csv",
    "latency.json",
    "candidates/*/architecture.json",
    "candidates/*/curve.csv",
)
LARGEST = 2_000_000
# Fusions such as d/b4 have slashes too, but none in front.
ABSOLUTE = re.compile(r"(?<![\w./:-])/(?:[\w.+@-]+/)+([\w.+@-]+)")


def main() -> int:
    """Makes the example and prints what it holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR")
    default = Path(__file__).parents[1] / "runs" / "example"
    parser.add_argument("--output", type=Path, default=default, metavar="DIR")
    options = parser.parse_args()
    try:
        size = make_example(Run.open(options.run, runs=options.runs).folder, options.output)
    except UserError as error:
        print(f"make_example: error: {error}", file=sys.stderr)
        return 2
    results = Run(options.output).results()
    print(f"{options.output}: {len(results)} candidates, {size / 1e6:.2f} MB of text")
    return 0


def make_example(run: Path, output: Path) -> int:
    """Copy the texts of a run, complete or not at all; returns their size in bytes.

    Raises:
        UserError: the run has no results, or its texts are too large to be bundled.
    """
    if not (run / "results.csv").is_file():
        raise UserError(f"run '{run}': no results.csv; expected a finished run")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as temporary:
        made = Path(temporary) / "made"
        size = 0
        for pattern in TEXTS:
            for source in sorted(run.glob(pattern)):
                text = ABSOLUTE.sub(r"\1", source.read_text(encoding="utf-8"))
                target = made / source.relative_to(run)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
                size += len(text.encode())
        if size > LARGEST:
            raise UserError(f"run '{run}': {size:,} bytes of text; expected at most {LARGEST:,}")
        if output.is_dir():
            output.rename(Path(temporary) / "before")
        made.rename(output)
    output.chmod(0o755)
    return size


if __name__ == "__main__":
    sys.exit(main())
