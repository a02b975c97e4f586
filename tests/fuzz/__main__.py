"""Longer runs of fuzzing: `python -m tests.fuzz COMMAND`.

run       inputs that follow from a seed, each run once; prints how they ended
one       writes one of these inputs to a file
replay    runs files
flips     flips every bit of eleven files of different kinds, each by itself, and counts how many are refused
large     decodes the smallest files of large pictures, and tells time and memory
guided    runs a target by atheris, which looks for inputs that reach new code
targets   lists the targets
"""

import argparse
import faulthandler
import os
import resource
import sys
from pathlib import Path
from typing import Final

FAILURES: Final = Path("build") / "fuzz-failures"


def main() -> int:
    """Runs a command, and returns 1 where an input broke the property."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run inputs of a seed")
    run.add_argument("--inputs", type=int, default=20000)
    run.add_argument("--first", type=int, default=0, help="number of the first input")
    run.add_argument("--seed", type=int, default=0)
    run.set_defaults(command=run_command)
    one = commands.add_parser("one", help="write one input of a seed")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--number", type=int, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(command=one_command)
    replay = commands.add_parser("replay", help="run files")
    replay.add_argument("target")
    replay.add_argument("files", type=Path, nargs="+")
    replay.set_defaults(command=replay_command)
    commands.add_parser("flips", help="flip every bit of eleven files").set_defaults(command=flips_command)
    large = commands.add_parser("large", help="decode small files of large pictures")
    large.add_argument("--size", type=int, nargs=2, default=(4096, 4096), help="width and height in pixels")
    large.set_defaults(command=large_command)
    guided = commands.add_parser("guided", help="run a target by atheris")
    guided.add_argument("target")
    guided.add_argument("options", nargs=argparse.REMAINDER, help="options of libFuzzer, such as -max_total_time=60")
    guided.set_defaults(command=guided_command)
    commands.add_parser("targets", help="list the targets").set_defaults(command=targets_command)
    arguments = parser.parse_args()
    faulthandler.enable()
    command = arguments.command
    result: int = command(arguments)
    return result


def run_command(arguments: argparse.Namespace) -> int:
    """Runs inputs one after the other in this process. The number of the current one stands in a file, in case the process dies."""
    from tests.fuzz.property import peak_bytes
    from tests.fuzz.run import run_inputs, save_failures
    from tests.fuzz.targets import use_golden_model

    use_golden_model()
    FAILURES.mkdir(parents=True, exist_ok=True)
    state = os.open(FAILURES / "current", os.O_CREAT | os.O_WRONLY)
    last = arguments.first + arguments.inputs

    def before_each(number: int) -> None:
        os.pwrite(state, f"{number:>12}\n".encode(), 0)
        faulthandler.dump_traceback_later(120, exit=True)
        if number % 10000 == 0:
            print(f"{number} of {arguments.first}..{last}", file=sys.stderr, flush=True)

    report = run_inputs(arguments.seed, range(arguments.first, last), before_each)
    faulthandler.cancel_dump_traceback_later()
    for name, counts in report.outcomes.items():
        print(f"{name} {counts.total()}: " + ", ".join(f"{outcome} {count}" for outcome, count in counts.most_common()))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{report.num_inputs} inputs of seed {arguments.seed}, {len(report.failures)} failures; "
        f"{usage.ru_utime + usage.ru_stime:.0f} CPU seconds, peak memory of the process {peak_bytes() >> 20} MiB, "
        f"slowest {report.slowest[0]:.2f} CPU seconds ({report.slowest[1]}, number {report.slowest[2]})"
    )
    for path, (name, number, message, _) in zip(save_failures(report, FAILURES), report.failures, strict=True):
        print(f"FAILURE {name} {number}: {message[:300]} ({path})")
    return bool(report.failures)


def one_command(arguments: argparse.Namespace) -> int:
    """Writes an input to a file, and tells its target."""
    from tests.fuzz.run import inputs
    from tests.fuzz.targets import use_golden_model

    use_golden_model()
    ((_, name, data),) = inputs(arguments.seed, range(arguments.number, arguments.number + 1))
    arguments.out.write_bytes(data)
    print(f"{arguments.out}: {len(data)} bytes for the target {name}")
    return 0


def replay_command(arguments: argparse.Namespace) -> int:
    """Runs files and tells how each ended."""
    from tests.fuzz.property import BrokenPropertyError, outcome_of
    from tests.fuzz.targets import TARGETS, use_golden_model

    use_golden_model()
    failed = 0
    for path in arguments.files:
        try:
            outcome = outcome_of(TARGETS[arguments.target].run, path.read_bytes())
            print(f"{path}: {outcome.name}, {outcome.seconds:.2f} CPU seconds")
        except BrokenPropertyError as error:
            print(f"{path}: FAILURE {error}")
            failed += 1
    return bool(failed)


def flips_command(arguments: argparse.Namespace) -> int:
    """Flips each bit of eleven files, and counts what is refused, by its error."""
    from tests.fuzz.flips import count_flips, small_files
    from tests.fuzz.targets import use_golden_model

    use_golden_model()
    accepted = flips = 0
    for name, data in small_files().items():
        counts = count_flips(data)
        accepted += counts["opened"]
        flips += counts.total()
        print(f"{name}, {len(data)} bytes: " + ", ".join(f"{outcome} {count}" for outcome, count in counts.most_common()))
    print(f"{flips} flips, {flips - accepted} refused, {accepted} accepted")
    return bool(accepted)


def large_command(arguments: argparse.Namespace) -> int:
    """Prints what small files of large pictures cost."""
    from tests.fuzz.large import measure_large

    measure_large(*arguments.size, lambda line: print(line, flush=True))
    return 0


def guided_command(arguments: argparse.Namespace) -> int:
    """Runs a target by atheris until it is stopped, or an input breaks the property."""
    from tests.fuzz.guided import run_guided

    run_guided(arguments.target, arguments.options)
    return 0


def targets_command(_: argparse.Namespace) -> int:
    """Prints the names of the targets."""
    from tests.fuzz.targets import TARGETS

    print("\n".join(TARGETS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
