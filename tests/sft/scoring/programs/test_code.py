import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.engines import Message, Reply, Sampling, take_apart
from schemas.errors import EngineError
from schemas.prompt import prompt_id
from sft.scoring import stage
from sft.scoring.programs import sandbox
from sft.scoring.programs.code import ProgramResult, judge, judge_one, program_of, same_text, same_value
from sft.scoring.programs.sandbox import MIB, Limits
from sft.scoring.suite_files import choose

QUICK = Limits(cpu_seconds=1, wall_seconds=20, memory=256 * MIB)


@pytest.fixture(scope="module")
def isolation() -> None:
    try:
        sandbox.prove()
    except EngineError as error:
        if "isolation check failed" in str(error):
            raise
        pytest.skip(f"there is no sandbox here: {error}")


def answer(program: str) -> str:
    return f"It is simple.\n\n```python\n{program}\n```\n\nThat is all."


def problem(*pairs: tuple[str, str], fn_name: str | None = None) -> str:
    inputs, outputs = zip(*pairs, strict=True)
    return json.dumps({"inputs": inputs, "outputs": outputs, "fn_name": fn_name})


SUM = problem(("1 2\n", "3\n"), ("5 6\n", "11\n"))


def verdict(program: str, reference: str = SUM) -> ProgramResult:
    return judge_one(answer(program), reference, QUICK)


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\na\n```\nor better\n```python\nb\n```", "b\n"),
        ("```python\na\n```\nIt prints:\n```\n3\n```", "a\n"),
        ("```\na\n```\nthen\n```\nb\n```", "b\n"),
        ("  ```Python3 title=x\n  a\n  ```", "  a\n"),
        ("```py\nprint('```')\n```", "print('```')\n"),
        ("no block, print(3)", None),
        ("```python\nnever closed", None),
        ("```python\n\n```", None),
    ],
)
def test_the_program_is_the_last_python_block_else_the_last_block(text: str, program: str | None) -> None:
    assert program_of(text) == program


@pytest.mark.parametrize(
    "text", ["```" + "a" * 200_000, "```a\n" * 50_000, "```" + " " * 200_000 + "`", " " * 200_000 + "``"]
)
def test_degenerate_replies_are_read_in_linear_time(text: str) -> None:
    start = time.process_time()
    assert program_of(text) is None
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("printed", "wanted", "same"),
    [
        ("3", "3\n", True),
        ("  1 2 \n3\n\n", "1 2\n3", True),
        ("1  2", "1 2", True),
        ("a  b", "a b", False),
        ("1.50", "1.5", True),
        ("0.30000000000000004", "0.3", False),
        ("50000000000000000", "50000000000000001", False),
        ("Yes", "YES", False),
        ("1 2", "1\n2", False),
        ("", "1", False),
        ("nan", "sNaN", False),
    ],
)
def test_outputs_are_compared_line_by_line_and_numbers_exactly(printed: str, wanted: str, same: bool) -> None:
    assert same_text(printed, wanted) is same


@pytest.mark.parametrize(
    ("returned", "wanted", "same"),
    [
        ("[1, 2]", "[1,2]", True),
        ("1.0", "1", True),
        ("true", "1", True),
        ('"1"', "1", False),
        ("[2, 1]", "[1, 2]", False),
        ("", "null", False),
        ("[" * 100_000, "1", False),
    ],
)
def test_values_are_compared_as_python_does(returned: str, wanted: str, same: bool) -> None:
    assert same_value(returned, wanted) is same


@pytest.mark.usefixtures("isolation")
@pytest.mark.parametrize(
    ("program", "correct", "reason"),
    [
        ("print(sum(map(int, input().split())))", True, ""),
        ("import sys\nprint(sum(map(int, sys.stdin.read().split())))\nsys.exit(1)", True, ""),
        ("if __name__ == '__main__':\n    print(eval(input().replace(' ', '+')))", True, ""),
        ("from __future__ import annotations\nprint(reduce(add, map(int, input().split())))", True, ""),
        ("print(3)", False, "wrong answer at test 2 of 2"),
        ("print(1 / 0)", False, "runtime error at test 1 of 2: ZeroDivisionError: division by zero"),
        ("print(", False, "runtime error at test 1 of 2: SyntaxError: '(' was never closed"),
        ("while True: pass", False, "time limit at test 1 of 2: SIGXCPU"),
        ("x = [0] * 10**9", False, "memory at test 1 of 2: MemoryError"),
        ("import numpy", False, "runtime error at test 1 of 2: ModuleNotFoundError: No module named 'numpy'"),
    ],
)
def test_programs_pass_every_test_or_say_at_which_they_failed(
    program: str, correct: bool, reason: str
) -> None:
    assert verdict(program) == ProgramResult(correct, reason)


DEEP = "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return n and 1 + f(n - 1)\na, b = map(int, input().split())\nprint(f(20000) - 20000 + a + b)"
THREADED = "import threading\ndef main(): print(sum(map(int, input().split())))\nthreading.stack_size(1 << 26)\nt = threading.Thread(target=main)\nt.start()\nt.join()"


@pytest.mark.usefixtures("isolation")
@pytest.mark.parametrize("program", [DEEP, THREADED])
def test_what_contest_programs_do_works(program: str) -> None:
    assert verdict(program) == ProgramResult(True, "")


SOLUTION = "class Solution:\n    def total(self, numbers: List[int], extra: int) -> int:\n        print('debugging')\n        return {}"
TOTAL = problem(("[1, 2]\n3", "6"), ("[]\n0", "0"), fn_name="total")


@pytest.mark.usefixtures("isolation")
@pytest.mark.parametrize(
    ("program", "correct", "reason"),
    [
        (SOLUTION.format("sum(numbers) + extra"), True, ""),
        ("def total(numbers, extra):\n    return sum(numbers, extra)", True, ""),
        (SOLUTION.format("6"), False, "wrong answer at test 2 of 2"),
        (SOLUTION.format("{6}"), False, "wrong answer at test 1 of 2"),
        (
            SOLUTION.format("nothing"),
            False,
            "runtime error at test 1 of 2: NameError: name 'nothing' is not defined",
        ),
        ("def other(): pass", False, "runtime error at test 1 of 2: KeyError: 'total'"),
        (
            "import os\nprint(6)\nos._exit(0)",
            False,
            "wrong answer at test 1 of 2",
        ),
    ],
)
def test_functions_are_called_with_the_lines_of_the_input(program: str, correct: bool, reason: str) -> None:
    assert verdict(program, TOTAL) == ProgramResult(correct, reason)


@pytest.mark.usefixtures("isolation")
@pytest.mark.parametrize(
    ("value", "wanted", "correct"),
    [("(1, 2)", "[1, 2]", True), ("[(1, 2)]", "[[1, 2]]", False), ("((1,),)", "[[1]]", False)],
)
def test_a_tuple_counts_as_a_list_and_an_inner_one_does_not(value: str, wanted: str, correct: bool) -> None:
    assert verdict(f"def f(n): return {value}", problem(("1", wanted), fn_name="f")).correct is correct


@pytest.mark.usefixtures("isolation")
def test_sets_have_one_order_in_every_run() -> None:
    program = answer("print(*{'a', 'b', 'c', 'd', 'e', 'f'})")
    printed = {sandbox.run(program_of(program) or "").output for _ in range(4)}
    assert len(printed) == 1


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (None, "no tests: the prompt has no reference_answer"),
        ("42", "no tests: write a mapping of names to values (got 42)"),
        ('{"inputs": ["1"], "outputs": []}', "no tests: 1 inputs, but 0 outputs"),
        ('{"inputs": [], "outputs": []}', "no tests: inputs: write 1 or more values"),
        ('{"inputs": ["1"], "outputs": ["1"], "fn_name": "a b"}', "no tests: fn_name is not a Python identifier"),
        ('{"inputs": ["1"], "outputs": ["x"], "fn_name": "f"}', "no tests: Expecting value: line 1 column 1 (char 0)"),
    ],
)  # fmt: skip
def test_a_problem_without_tests_is_unjudged_not_wrong(reference: str | None, reason: str) -> None:
    assert judge_one(answer("print(1)"), reference) == ProgramResult(None, reason)


def test_an_answer_without_a_program_is_unjudged() -> None:
    assert judge_one("I do not know.", SUM) == ProgramResult(
        False, "no program: the answer has no closed code block"
    )


@pytest.mark.usefixtures("isolation")
def test_many_answers_keep_their_order() -> None:
    programs = [f"print(sum(map(int, input().split())) + {n % 3})" for n in range(12)]
    found = judge([(answer(program), SUM) for program in programs], QUICK)
    assert [one.correct for one in found] == [n % 3 == 0 for n in range(12)]


class Scripted:
    """An engine that says what it is told to."""

    name = "scripted@1"

    def __init__(self, replies: dict[str, tuple[str, str]]) -> None:
        self._replies = replies
        self.asked = 0

    def chat(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        self.asked += len(conversations)
        return [take_apart(*self._replies[c[-1]["content"]], 5, len) for c in conversations]  # type: ignore[arg-type]


def with_prompts(corpus: Store, prompts: dict[str, tuple[str, str]]) -> dict[Any, Any]:
    rows = [
        {"prompt_id": prompt_id(t), "text": t, "kind": kind, "reference_answer": reference}
        for t, (kind, reference) in prompts.items()
    ]
    with corpus.writing("prompts"):
        corpus.append_rows("prompts", rows)
    return stage.load_prompts(corpus, choose(["reasoning"]))


@pytest.mark.usefixtures("isolation")
def test_the_reasoning_suite_runs_programs_beside_mathematics(
    corpus: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    thought = "<think>\nAdd them.\n</think>\n\n"
    right, wrong = (thought + answer(f"print(sum(map(int, input().split())) + {more})") for more in (0, 1))
    replies = {
        "2+2?": (thought + "\\boxed{4}", "stop"),
        "Add.": (right, "stop"),
        "Add two.": (wrong, "stop"),
        "Add up.": (thought + "Just add.", "stop"),
        "Sum.": ("<think>\nOkay, first", "length"),
    }
    monkeypatch.setattr(stage, "PROBLEMS", 2)
    prompts = dict.fromkeys(replies, ("code", SUM)) | {"2+2?": ("math", "4")}
    asked = with_prompts(corpus, prompts)
    scored = stage.measure(Scripted(replies), corpus, asked, None)
    accuracy = scored.scores.suites[0].rates[0]
    assert (accuracy.k, accuracy.n, accuracy.unjudged) == (2, 5, 0)
    assert "tests under Python 3." in scored.scores.judge
    assert {one.prompt_id: (one.state, one.measures["accuracy (final answer)"], one.reason) for one in scored.outcomes} == {
        prompt_id("2+2?"): ("closed", True, ""),
        prompt_id("Add."): ("closed", True, ""),
        prompt_id("Add two."): ("closed", False, "wrong answer at test 1 of 2"),
        prompt_id("Add up."): ("closed", False, "no program: the answer has no closed code block"),
        prompt_id("Sum."): ("truncated", False, ""),
    }  # fmt: skip


def test_nothing_is_asked_when_programs_could_not_be_judged(
    corpus: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = with_prompts(corpus, {"Add.": ("code", SUM)})
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox.prove.cache_clear()
    engine = Scripted({"Add.": (answer("print(1)"), "stop")})
    with pytest.raises(EngineError, match="bwrap, which is not on the PATH"):
        stage.measure(engine, corpus, asked, None)
    assert engine.asked == 0
    assert not corpus.keys("traces")
