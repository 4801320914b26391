"""Judges programs for coding problems by running the problem's tests as LiveCodeBench does.

The tests are LiveCodeBench's `input_output` object: inputs, outputs and, for functions, fn_name. A program passes all tests
or is wrong; the expected outputs never enter the sandbox.
"""

import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.faults import listed
from sft.scoring.programs import sandbox

OPENING = re.compile(r"[ \t]*+```[ \t]*+([\w+#.-]*+)[^`]*+")
CLOSING = re.compile(r"[ \t]*+```[ \t]*+")
PYTHON = {"python", "python3", "py"}


class Tests(BaseModel):
    """A problem's tests, public and hidden."""

    model_config = ConfigDict(extra="ignore")

    inputs: list[str] = Field(min_length=1)
    """Contents of stdin; for a function, one JSON value per argument and line."""
    outputs: list[str]
    """Expected stdout; for a function, its expected result as JSON."""
    fn_name: str | None = None
    """A function, or a method of the class Solution."""

    @model_validator(mode="after")
    def _fits(self) -> "Tests":
        if len(self.inputs) != len(self.outputs):
            raise ValueError(f"{len(self.inputs)} inputs, but {len(self.outputs)} outputs")
        if self.fn_name is not None:
            if not self.fn_name.isidentifier():
                raise ValueError("fn_name is not a Python identifier")
            for output in self.outputs:
                json.loads(output)
        return self


class ProgramResult(NamedTuple):
    """The result of testing one program."""

    correct: bool | None
    """Null without a program or without tests."""
    reason: str
    """Why it failed or was not run; "" for a correct one."""


def judge(
    answers: Sequence[tuple[str, str | None]], limits: sandbox.Limits | None = None
) -> list[ProgramResult]:
    """Run the programs of some answers, one per available CPU.

    Args:
        answers: each answer with the tests of its prompt (`reference_answer`).
        limits: resource limits of each run.

    Raises:
        EngineError: if there is no sandbox, or the isolation check failed; nothing was run then.
    """
    if not answers:
        return []
    sandbox.prove()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # Linux only, like the sandbox
        return list(pool.map(lambda pair: judge_one(pair[0], pair[1], limits), answers))


def judge_one(answer: str, reference: str | None, limits: sandbox.Limits | None = None) -> ProgramResult:
    """Judge one answer.

    Raises:
        EngineError: if there is no sandbox, or the isolation check failed; nothing was run then.
    """
    if reference is None:
        return ProgramResult(None, "no tests: the prompt has no reference_answer")
    try:
        tests = Tests.model_validate_json(reference)
    except ValidationError as error:
        return ProgramResult(None, f"no tests: {listed(error)}")
    program = program_of(answer)
    if program is None:
        return ProgramResult(False, "no program: the answer has no closed code block")
    for number, (given, wanted) in enumerate(zip(tests.inputs, tests.outputs, strict=True), 1):
        ran = sandbox.run(program, given, limits, tests.fn_name or "")
        if wrong := _fault(ran, wanted, tests.fn_name):
            return ProgramResult(False, f"{wrong[0]} at test {number} of {len(tests.inputs)}{wrong[1]}")
    return ProgramResult(True, "")


def program_of(answer: str) -> str | None:
    """The final program of an answer: its last block marked as Python, else its last block; null without one."""
    blocks = _blocks(answer)
    marked = [text for language, text in blocks if language in PYTHON]
    program = (marked or [text for _, text in blocks] or [""])[-1]
    return program if program.strip() else None


def _blocks(answer: str) -> list[tuple[str, str]]:
    """Language and text of each closed block, parsed by line: one regular expression is slow if fences stay open."""
    blocks: list[tuple[str, str]] = []
    language: str | None = None
    lines: list[str] = []
    for line in answer.split("\n"):
        if language is None:
            if opening := OPENING.fullmatch(line):
                language, lines = opening[1].lower(), []
        elif CLOSING.fullmatch(line):
            blocks.append((language, "".join(lines)))
            language = None
        else:
            lines.append(line + "\n")
    return blocks


def _fault(ran: sandbox.ProgramRun, wanted: str, fn_name: str | None) -> tuple[str, str] | None:
    if ran.ending != "ended":
        return ran.ending, f": {ran.error}" if ran.error else ""
    same = same_value(ran.output, wanted) if fn_name else same_text(ran.output, wanted)
    return None if same else ("wrong answer", "")


def same_text(printed: str, wanted: str) -> bool:
    """Whether two outputs agree line by line; lines that differ still agree as numbers, exactly ("1.50" and "1.5").

    Source: LiveCodeBench, `grade_stdio`.
    """
    ours, theirs = ([line.strip() for line in text.strip().split("\n")] for text in (printed, wanted))
    return len(ours) == len(theirs) and all(
        a == b or _same_numbers(a, b) for a, b in zip(ours, theirs, strict=True)
    )


def same_value(returned: str, wanted: str) -> bool:
    """Whether two JSON values are equal; an outer tuple counts as a list, an inner one does not.

    Source: LiveCodeBench, `grade_call_based`.
    """
    try:
        return bool(json.loads(returned) == json.loads(wanted))
    except (ValueError, RecursionError):
        return False  # the program overwrote its result


def _same_numbers(printed: str, wanted: str) -> bool:
    try:
        return [Decimal(token) for token in printed.split()] == [Decimal(token) for token in wanted.split()]
    except InvalidOperation:
        return False
