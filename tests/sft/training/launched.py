"""`sft run` of several recipes in two processes that torch's launcher starts, as forks of this one: what is loaded here, such as torch, need not be loaded again."""

import sys
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

from accelerate.test_utils.testing import AccelerateTestCase
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from sft.cli import main


def in_two_processes(recipes: Sequence[Path], logs: Path) -> str:
    """Run the recipes one after the other; what both processes said, as `torchrun` would show it."""
    launcher = get_context("fork").Process(target=launch, args=(list(map(str, recipes)), logs))
    launcher.start()  # in a fork too, since it takes signals for itself
    launcher.join(240)
    said = "".join(path.read_text(encoding="utf-8") for path in sorted(logs.rglob("stderr.log")))
    assert launcher.exitcode == 0, said[-3000:]
    return said


def launch(recipes: list[str], logs: Path) -> None:
    """What `torchrun --standalone --nproc_per_node 2` does, with a function in place of a program."""
    how = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=2, max_restarts=0, rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        start_method="fork", logs_specs=DefaultLogsSpecs(str(logs), redirects=Std.ALL),
    )  # fmt: skip
    elastic_launch(how, run_all)(recipes)


def run_all(recipes: list[str]) -> None:
    """Run the recipes as the command line does; raises SystemExit with the code of the first that fails."""
    AccelerateTestCase().tearDown()  # accelerate forgets that there was one process
    for recipe in recipes:
        sys.argv = ["sft", "run", recipe]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise
