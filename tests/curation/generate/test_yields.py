from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.engines import Reply
from curation.engines.settings import EngineSettings, require_template
from curation.generate.stage import GenerateRecipe, run
from curation.generate.strategies import shipped
from curation.generate.yields import require_yield, yields
from schemas.errors import EngineError
from schemas.manifest import Counts, Manifest

CLOSED = "<think>\nThat is fine.\n</think>\n\nHere you are."
IN_A_THOUGHT = Reply("Hm, let me", "", "truncated", "length", 10, 8, 0)
IN_THE_ANSWER = Reply("Fine.", "One can", "truncated", "length", 10, 4, 4)
NEVER_OPENED = Reply("", "Sure, here", "truncated", "length", 10, 0, 8)


def made(corpus: Store, say: Any, scripted: Callable[..., Any], *strategies: str, **more: Any) -> Manifest:
    scripted(say if callable(say) else lambda messages: say)
    given = {"engine": {"model": "scripted"}, "strategies": strategies or ["default"], **more}
    return run(corpus.root, GenerateRecipe.model_validate(given))


def said_of(manifest: Manifest, *strategies: str) -> str:
    with pytest.raises(EngineError) as caught:
        require_yield(manifest, [shipped(name) for name in strategies or ["default"]])
    return str(caught.value)


@pytest.mark.parametrize("reply", [IN_A_THOUGHT, IN_THE_ANSWER])
def test_replies_cut_behind_an_open_tag_want_more_tokens(
    prompts: Store, scripted: Callable[..., Any], reply: Reply
) -> None:
    manifest = made(prompts, reply, scripted)
    assert manifest.counts.quarantined == {"truncated": 4}
    assert "kept 0 of 4 replies" in (said := said_of(manifest)) and "--max-new-tokens" in said


def test_replies_that_never_opened_a_thought_want_another_model_and_not_more_tokens(
    prompts: Store, scripted: Callable[..., Any]
) -> None:
    manifest = made(prompts, NEVER_OPENED, scripted)
    assert manifest.counts.quarantined == {"truncated_no_think": 4}
    said = said_of(manifest)
    assert "--max-new-tokens" not in said and "--strategies short,template" in said
    assert "--think zero" in said


def test_a_strategy_that_asks_for_tags_says_that_they_did_not_come(
    prompts: Store, scripted: Callable[..., Any]
) -> None:
    manifest = made(prompts, "Sure.", scripted, "short", "template")
    said = said_of(manifest, "short", "template")
    assert said.count("does not follow the instruction") == 2 and "short: " in said and "template: " in said
    assert said.count("--think zero") == 2


def test_a_thought_that_the_prompt_closed_was_opened(prompts: Store, scripted: Callable[..., Any]) -> None:
    assert made(prompts, NEVER_OPENED, scripted, think="zero").counts.quarantined == {"truncated": 4}


def test_hardly_anything_kept_is_a_warning_by_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    ended = (
        [("default", None)] * 99 + [("default", "loop")] + [("short", "no_think")] * 19 + [("short", None)]
    )
    counted = yields(ended)
    assert (counted["short"].replies, counted["short"].kept) == (20, 1)
    manifest = Manifest(
        stage="generate", recipe={}, versions={}, counts=Counts(rows=120, kept=100),
        summary={"yield": {name: one._asdict() for name, one in counted.items()}},
    )  # fmt: skip
    require_yield(manifest, [shipped("default"), shipped("short")])
    said = capsys.readouterr().err
    assert "warning: short: kept 1 of 20" in said and "default" not in said.replace(
        "--strategies default", ""
    )


def test_a_model_without_a_template_is_refused_before_its_weights_are_read(
    r1_model: Path, tmp_path: Path
) -> None:
    for file in r1_model.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())  # no weights at all
    settings = EngineSettings(kind="transformers", model=str(tmp_path))
    with pytest.raises(EngineError, match="no chat template"):
        require_template(settings)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    require_template(settings)
