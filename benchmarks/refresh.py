"""A whole `Peers.refresh` beside another commit's: ``scripts/benchmark refresh --against REV``.

Each library runs in processes of its own, from the files of its commit, and all take turns. They
are several, since one may be a tenth slower than the next by where its memory lies. The best rounds
of each library are compared, since load only adds to them.
"""

import gc
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ._library import ADDRESSES, SERVICES, SRV, Library, rolling
from ._measure import Contender, Prepared, Samples, Table, calls_in, turn_of

HERE = "this tree"
_ROOT = Path(__file__).parents[1]
_CASES = ("unchanged", "some pods replaced", "all new")
_SETS = tuple((1, pods) for pods in ADDRESSES) + tuple((SRV, pods) for pods in SERVICES)
_PROCESSES, _ROUNDS, _BEST = 3, 50, 20


def run(against: str = "HEAD") -> list[Table]:
    """Of A and SRV, by pods."""
    from ._replay import Replay  # noqa: PLC0415 - not to be had with an older commit's library

    tables = [Table(f"A whole refresh, {case}", against, taken="Best") for case in _CASES]
    with Replay() as replay, _of(against) as there, ExitStack() as stack:
        workers = [
            (row, stack.enter_context(_worker(directory, replay.port)))
            for row, directory in ((HERE, _ROOT), (against, there)) * _PROCESSES
        ]
        for rdtype, pods in _SETS:
            for number, table in enumerate(tables):
                taken = {row: Samples([], []) for row, _ in workers}
                for _ in range(_ROUNDS):
                    for row, worker in workers:
                        wall, cpu = worker(f"{rdtype} {pods} {number}")
                        taken[row].wall.append(wall)
                        taken[row].cpu.append(cpu)
                column = f"{'SRV' if rdtype == SRV else 'A'} {pods}"
                table.columns[column] = {row: each.best(_BEST) for row, each in taken.items()}
    return tables


@contextmanager
def _of(commit: str) -> Iterator[Path]:
    """The commit's library, and these benchmarks beside it."""
    command = ["git", "-C", str(_ROOT), "archive", commit, "headless_discovery"]
    packed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout  # noqa: S603 - fixed
    with (
        tempfile.TemporaryDirectory() as directory,
        tarfile.open(fileobj=io.BytesIO(packed)) as tar,
    ):
        tar.extractall(directory, filter="data")
        Path(directory, "benchmarks").symlink_to(_ROOT / "benchmarks")
        yield Path(directory)


@contextmanager
def _worker(directory: Path, port: int) -> Iterator[Callable[[str], tuple[float, float]]]:
    """What has the library in that directory take a turn; wall and CPU seconds of a refresh."""
    command = [sys.executable, "-m", "benchmarks.refresh", str(port)]
    with subprocess.Popen(  # noqa: S603 - this module
        command, cwd=directory, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        told, said = process.stdin, process.stdout
        assert told is not None and said is not None  # noqa: S101, PT018 - they are pipes

        def turn(case: str) -> tuple[float, float]:
            print(case, file=told, flush=True)
            wall, cpu = map(float, said.readline().split())
            return wall, cpu

        yield turn
        told.close()


def _work(port: int) -> None:
    """Takes turns as it is told to: which set, and what is new in it."""
    known: dict[str, tuple[Contender | Prepared, int]] = {}
    for line in sys.stdin:
        if line not in known:
            rdtype, pods, case = map(int, line.split())
            asked = rolling(pods, rdtype) if case == 1 else None
            library = Library(pods, rdtype, port, asked=asked)
            library.same()  # the first one, which is all new
            contender = Prepared(library.new) if case == 2 else library.same
            known[line] = contender, calls_in(contender, 0.004)
        gc.collect()
        print(*turn_of(*known[line]), flush=True)


if __name__ == "__main__":
    _work(int(sys.argv[1]))
