"""`sft run` of several recipes, one after the other: what a launcher starts in each of its processes, which take long to start."""

import sys

from sft.cli import main


def run_all(recipes: list[str]) -> None:
    """Run the recipes as the command line does; raises SystemExit with the code of the first that fails."""
    for recipe in recipes:
        sys.argv = ["sft", "run", recipe]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise


if __name__ == "__main__":
    run_all(sys.argv[1:])
