"""Who judges: the rules always, a model where one is configured, and only where it can tell the headline."""

import pytest

from schemas.errors import UsageError
from sft.scoring.judging import recipe


def test_a_model_alone_judges_by_the_rubrics_that_any_chat_model_can_follow() -> None:
    found = recipe(["rules"], None, "gpt", "http://localhost:1/v1")
    assert found.annotators == ["rules", "guard:strongreject", "guard:xstest"]
    assert found.engine and found.engine.server and found.engine.model == "gpt"


def test_a_named_judge_takes_their_place_and_rules_stay() -> None:
    found = recipe(["rules", "overrefusal"], ["guard:llama-guard"], "lg")
    assert found.annotators == ["rules", "overrefusal", "guard:llama-guard"]
    assert recipe(["rules"]).annotators == ["rules"] and recipe(["rules"]).engine is None


@pytest.mark.parametrize(("judges", "url"), [(["guard:xstest"], None), (None, "http://localhost:1/v1")])
def test_a_judge_without_a_model_is_a_usage_error(judges: list[str] | None, url: str | None) -> None:
    with pytest.raises(UsageError, match="--judge-model"):
        recipe(["rules"], judges, None, url)
