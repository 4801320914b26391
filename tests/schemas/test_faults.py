"""What a writer of a file is told: one place and one message for a value, and no word of pydantic."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.choices import meant
from schemas.faults import faults, listed


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    where: str
    take: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)] | Literal["all"] = "all"
    columns: tuple[str, ...] = ()


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    parts: dict[str, Inner]
    policy: Literal["ranked", "majority"] = "ranked"
    inner: Inner | None = None
    shares: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}


def told(data: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(data)
    return [f"{'.'.join(map(str, place))}: {message}" for place, message in faults(caught.value, Outer, data)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"parts": {"a": {"where": "x", "take": "some"}}},
            "parts.a.take: write a whole number, a number or 'all' (got 'some')",
        ),
        ({"parts": {"a": {"where": "x", "take": 0}}}, "parts.a.take: write 1 or more or more than 0 (got 0)"),
        ({"parts": {"a": {}}}, "parts.a.where: this field is required"),
        ({"parts": {"a": {"where": "x", "columns": "c"}}}, "parts.a.columns: write a list (got 'c')"),
        ({"parts": {"a": [1]}}, "parts.a: write a mapping of names to values (got a list)"),
        ({"parts": {}, "inner": 3}, "inner: write a mapping of names to values (got 3)"),
        (
            {"parts": {}, "policy": "rankd"},
            "policy: write 'ranked' or 'majority'; did you mean 'ranked'? (got 'rankd')",
        ),
        ({"parts": {}, "shares": {"a": float("inf")}}, "shares.a: write a finite number (got inf)"),
        (
            {"parts": {}, "polcy": "ranked"},
            "polcy: unknown field; did you mean 'policy'?; allowed: inner, parts, policy, shares",
        ),
        ([], ": write a mapping of names to values"),
    ],
)
def test_a_value_has_one_place_and_one_message(data: Any, message: str) -> None:
    assert told(data) == [message]


def test_all_faults_stand_on_one_line_where_there_is_room_for_one() -> None:
    with pytest.raises(ValidationError) as caught:
        Inner.model_validate({"take": "x"})
    line = listed(caught.value, Inner, {"take": "x"})
    assert line.startswith("where: this field is required; take: write ")


def test_a_name_is_guessed_only_where_one_is_near() -> None:
    assert meant("Improvd", ["default", "improved"]) == "; did you mean 'improved'?"
    assert meant("zebra", ["default", "improved"]) == ""
