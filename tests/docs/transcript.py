"""The page docs/transcript.md: the commands of README and "Curate your first mix" in a fresh environment, with times and what they say.

    python -m tests.docs.transcript FOLDER_WITH_STAR1_AND_THE_EVALUATION_SETS

Nothing is typed that is not on those pages, but for the files that step 3 of the second asks for, which are copied. The surprise: one
shell runs everything, so that `cd`, `export` and the environment that was made stay; each command gets to it only when it is complete.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "transcript.md"
FIRST_MIX = "docs/first-mix.md"
FETCHED = ("star1.json", "math500.jsonl", "xstest_safe_150.jsonl")
END = "@@ended"
HEAD, TAIL, WIDTH = 9, 4, 150
"""Lines of output that are shown of a long one, and characters of a line."""


class Ran(NamedTuple):
    """One command, and what came of it."""

    command: str
    said: str
    code: int
    seconds: float
    processor: float


def commands(page: str) -> list[str]:
    """The commands of a page's blocks, each whole: a here-document or a continued line is one command."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found: list[str] = []
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines: list[str] = []
        for line in block.splitlines():
            lines.append(line)
            if line.strip() and _is_whole("\n".join(lines)):
                found.append("\n".join(lines))
                lines = []
    return found


def _is_whole(command: str) -> bool:
    if command.endswith("\\"):
        return False
    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    return done.returncode == 0 and not done.stderr


def installation() -> list[str]:
    """The two lines of "Curate your first mix" that install a checkout."""
    text = (ROOT / FIRST_MIX).read_text(encoding="utf-8")
    made = re.findall(r"^    (python3 -m venv .*)$", text, re.MULTILINE)
    assert "from a checkout: pip install ." in text
    return [*made, "pip install ."]


class Shell:
    """A shell in which commands run one after the other."""

    def __init__(self, folder: Path) -> None:
        kept = ("PATH", "HOME", "LANG", "PIP_", "SSL_", "REQUESTS_")
        environment = {name: value for name, value in os.environ.items() if name.startswith(kept)}
        self._folder = folder
        self._shell = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, env=environment | {"HF_HUB_OFFLINE": "1"}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._typed, self._heard = _pipes(self._shell)
        self._typed.write("TIMEFORMAT='%R %U %S'\n")

    def run(self, command: str) -> Ran:
        """Run a command to its end."""
        file = self._folder / ".command"
        file.write_text(command + "\n", encoding="utf-8")
        self._typed.write(f"{{ time . '{file}' </dev/null; }}; echo {END} $?\n")
        self._typed.flush()
        lines: list[str] = []
        for line in self._heard:
            if line.startswith(END):
                break
            lines.append(line)
        real, *processor = map(float, lines.pop().split())
        return Ran(command, "".join(lines), int(line.split()[1]), real, sum(processor))

    def close(self) -> None:
        """End it."""
        self._typed.close()
        self._shell.wait()


def _pipes(shell: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    assert shell.stdin and shell.stdout
    return shell.stdin, shell.stdout


def shown(one: Ran, folder: Path, head: int = HEAD, width: int = WIDTH) -> str:
    """What a command said, without this machine's folders and shortened in the middle; of pip, which names its sources, the result."""
    text = one.said.replace(str(folder), "~").replace(str(ROOT), "~")
    if one.command.startswith("pip "):
        text = "\n".join(line for line in text.splitlines() if line.startswith(("Successfully", "ERROR")))
    lines = [
        line if len(line) <= width else line[: width - 4].rstrip() + " ..." for line in text.splitlines()
    ]
    lines = [line for line in lines if line.strip()]
    left_out = len(lines) - head - TAIL
    if left_out > 1:
        lines[head:-TAIL] = [f"... {left_out} lines ..."]
    return "\n".join(f"    {line}" for line in lines)


def section(
    title: str, ran: Sequence[Ran], folder: Path, prose: str = "", head: int = HEAD, width: int = WIDTH
) -> Iterator[str]:
    """A heading with its commands."""
    yield f"## {title}\n"
    if prose:
        yield f"{prose}\n"
    for one in ran:
        took = f"{one.seconds:.1f} s, {one.processor:.1f} s of processor time"
        ended = "" if one.code == 0 else f"; exit code {one.code}"
        yield f"```console\n$ {one.command}\n```\n\n{took}{ended}\n"
        if told := shown(one, folder, head, width):
            yield f"{told}\n"


def page(data: Path) -> str:
    """Run everything in a new folder, and describe it.

    Args:
        data: a folder with the files that step 3 names.
    """
    with tempfile.TemporaryDirectory(prefix="transcript-") as name:
        folder = Path(name)
        checkout = folder / "lrm-curate"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
        shell = Shell(folder)
        shell.run("cd lrm-curate")
        installed = [shell.run(command) for command in installation()]
        shell.run("cd ..")
        begun = [shell.run(command) for command in commands("README.md")]
        shell.run(f"cd '{folder}'")
        made = []
        for command in commands(FIRST_MIX):
            if command.startswith("cat > pipeline.yaml"):
                for file in FETCHED:
                    shutil.copyfile(data / file, folder / "safety-mix" / "data" / file)
            made.append(shell.run(command))
        shell.close()
        parts = [
            *section("Install, from a checkout", installed, folder),
            *section("README: the main workflow", begun, folder),
            *section("Curate your first mix", made, folder),
        ]
    everything = [*installed, *begun, *made]
    return "\n".join([_opening(everything), *parts])


def minutes_of(ran: Sequence[Ran]) -> tuple[float, float]:
    """What commands took together, by the clock and of the processor."""
    return sum(one.seconds for one in ran) / 60, sum(one.processor for one in ran) / 60


def _opening(ran: Sequence[Ran]) -> str:
    minutes, processor = minutes_of(ran)
    return (
        "# A first hour, command by command\n\n"
        "What a fresh environment says to the commands of the [README](../README.md) and of [Curate your first mix](first-mix.md), nothing else\n"
        "typed. A program wrote this page: `python -m tests.docs.transcript FOLDER`, with the three files of step 3 in the folder. Long output is\n"
        "cut in the middle, long lines at their end.\n\n"
        f"{len(ran)} commands took {minutes:.1f} minutes ({processor:.1f} of processor time) on {os.cpu_count()} cores with Python "
        f"{platform.python_version()}; other programs used the cores as well, so processor time is what compares. No GPU, no model, no hub.\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(Path(sys.argv[1]).resolve()), encoding="utf-8")
