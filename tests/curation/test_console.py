import json
from decimal import Decimal

import pytest

from curation import console

EVIL = "a\x1b]0;title\x07b\x9b31mc\u202ed\x7fe\rf\ud800g"
KEPT = "abcdefg"


def letters(text: str) -> str:
    return "".join(c for c in text if c in KEPT)


def dangerous(text: str) -> list[str]:
    return [c for c in EVIL if not c.isprintable() and c in text]


def test_tables_hold_no_control_or_direction_characters(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_rows([EVIL, "[red]x[/red]"], [{EVIL: EVIL, "[red]x[/red]": "[bold]1[/bold]"}])
    shown = capsys.readouterr().out
    assert not dangerous(shown) and "[bold]1[/bold]" in shown and "[red]x[/red]" in shown


def test_lines_on_stderr_and_stdout_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    console.say(EVIL)
    console.result(EVIL)
    shown = capsys.readouterr()
    assert not dangerous(shown.out + shown.err) and "]0;title" in shown.err
    assert shown.out.count("\N{REPLACEMENT CHARACTER}") >= 6


def test_json_is_clean_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console.json_result({"text": EVIL, "emoji": "👩‍🚀"})
    shown = capsys.readouterr().out
    assert not dangerous(shown)
    assert json.loads(shown) == {"text": EVIL, "emoji": "👩‍🚀"}


def test_json_has_numbers_for_decimals_and_null_for_what_is_no_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = [
        Decimal("12345678901234567890"),
        Decimal("1.50"),
        Decimal("NaN"),
        float("nan"),
        float("-inf"),
        0.5,
    ]
    console.json_result({"values": values})
    said = capsys.readouterr().out
    assert json.loads(said, parse_constant=pytest.fail)["values"] == [
        12345678901234567890, 1.5, None, None, None, 0.5,
    ]  # fmt: skip
