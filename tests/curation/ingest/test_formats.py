"""Every format: recognised by its columns, and mapped without losing one."""

from typing import Any

import pytest

from curation.ingest.fields import BadRow, FieldLines, FieldPath, prompt_line, trace_line
from curation.ingest.formats import FORMATS, Format, detect, mapped, sort_out
from schemas.prompt import prompt_id

PLACE = FieldPath("file.jsonl", "file", None)
ASK, THINK, SAY = "How do I dry paint?", "Sun helps.", "Put it in the sun."
INLINE = f"<think>\n{THINK}\n</think>\n\n{SAY}"


def take(form: Format, row: dict[str, Any]) -> dict[str, Any]:
    """A row's line by column name."""
    place = PLACE._replace(kind=form.kind)
    fields, extra = sort_out(form, row)
    if form.makes == "traces":
        return named("traces", trace_line(fields, extra, place, 7).trace)
    return named("prompts", prompt_line(fields, extra, place, 7).prompt)


def named(table: str, line: Any) -> dict[str, Any]:
    from curation.ingest.fields import COLUMNS

    return dict(zip(COLUMNS[table], line, strict=True))


def lines(form: Format, row: dict[str, Any]) -> FieldLines:
    return trace_line(*sort_out(form, row), PLACE, 1)


TRACE_ROWS: list[tuple[str, dict[str, Any]]] = [
    ("traces", {"id": "a", "prompt": ASK, "reasoning": THINK, "answer": SAY}),
    ("study", {"prompt": ASK, "response": INLINE, "data_type": "safety"}),
    ("study", {"prompt": ASK, "response": INLINE}),
    ("study-math", {"instruction": ASK, "solution": INLINE}),
    (
        "star1",
        {
            "id": 3,
            "question": ASK,
            "response": INLINE,
            "category": ["a", "b"],
            "source": "S",
            "score": {"x": 1},
        },
    ),
    ("sharegpt", {"conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": INLINE}]}),
    ("alpaca", {"instruction": ASK, "input": "", "output": INLINE}),
    ("messages", {"messages": [{"role": "user", "content": ASK}, {"role": "assistant", "content": INLINE}]}),
    ("completion", {"prompt": ASK, "completion": INLINE}),
    (
        "completion",
        {
            "prompt": [{"role": "user", "content": ASK}],
            "completion": [{"role": "assistant", "content": INLINE}],
        },
    ),
    (
        "open-thoughts",
        {
            "system": "Think between <|begin_of_thought|> and <|end_of_thought|>.",
            "conversations": [
                {"from": "user", "value": ASK},
                {
                    "from": "assistant",
                    "value": f"<|begin_of_thought|>\n\n{THINK}\n\n<|end_of_thought|>\n\n"
                    f"<|begin_of_solution|>\n\n{SAY}\n\n<|end_of_solution|>",
                },
            ],
        },
    ),
]


@pytest.mark.parametrize(("name", "row"), TRACE_ROWS)
def test_every_trace_format_is_recognised_and_gives_the_same_texts(name: str, row: dict[str, Any]) -> None:
    assert detect(row) == name
    found = take(FORMATS[name], row)
    assert (found["prompt"], found["reasoning"], found["answer"]) == (ASK, THINK, SAY)
    assert found["prompt_id"] == prompt_id(ASK)


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content", "thinking"])
def test_messages_may_carry_the_reasoning_under_any_of_its_names(key: str) -> None:
    turns = [{"role": "user", "content": ASK}, {"role": "assistant", "content": SAY, key: THINK}]
    found = take(FORMATS["messages"], {"messages": turns})
    assert (found["reasoning"], found["answer"]) == (THINK, SAY)


def test_a_system_message_goes_to_system_whichever_way_it_comes() -> None:
    turns = [{"role": "user", "content": ASK}, {"role": "assistant", "content": INLINE}]
    assert (
        take(FORMATS["messages"], {"messages": [{"role": "system", "content": "S"}, *turns]})["system"] == "S"
    )
    assert take(FORMATS["open-thoughts"], {"system": "S", "conversations": turns})["system"] == "S"


def test_content_parts_are_joined_and_parts_that_are_no_text_refused() -> None:
    parts = [{"type": "text", "text": "How do I "}, {"type": "text", "text": "dry paint?"}]
    turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": INLINE}]
    assert take(FORMATS["messages"], {"messages": turns})["prompt"] == ASK
    turns[0]["content"] = [{"type": "image", "url": "x"}]
    with pytest.raises(BadRow) as bad:
        take(FORMATS["messages"], {"messages": turns})
    assert bad.value.fault.reason == "wrong_type"


def test_alpaca_joins_instruction_and_input() -> None:
    assert (
        take(FORMATS["alpaca"], {"instruction": "Sum.", "input": "1 2", "output": INLINE})["prompt"]
        == "Sum.\n\n1 2"
    )


@pytest.mark.parametrize(
    ("name", "row", "text", "reference", "kind"),
    [
        ("problems", {"problem": ASK, "solution": "s", "answer": 4, "unique_id": "u"}, ASK, "4", "math"),
        ("queries", {"query": "raw", "final_query": ASK}, ASK, None, None),
        ("prompts", {"id": "a", "prompt": ASK, "kind": "benign"}, ASK, None, "benign"),
        ("prompts", {"text": ASK}, ASK, None, None),
    ],
)
def test_prompt_files_become_prompts(
    name: str, row: dict[str, Any], text: str, reference: str | None, kind: str | None
) -> None:
    assert detect(row) == name
    found = take(FORMATS[name], row)
    assert (found["text"], found["reference_answer"], found["kind"]) == (text, reference, kind)


@pytest.mark.parametrize(
    ("name", "row", "extra"),
    [
        ("traces", {"prompt": ASK, "reasoning": THINK, "answer": SAY}, None),
        (
            "traces",
            {"prompt": ASK, "reasoning": THINK, "answer": SAY, "x": [1, {"y": None}]},
            '{"x":[1,{"y":null}]}',
        ),
        ("study", {"prompt": ASK, "response": INLINE, "answer": "4"}, '{"answer":"4"}'),
        ("queries", {"query": "raw", "final_query": ASK}, '{"query":"raw"}'),
        ("problems", {"problem": ASK, "solution": "s", "answer": "4"}, '{"solution":"s"}'),
        ("traces", {"prompt": ASK, "reasoning": "", "answer": SAY, "category": "c"}, '{"category":"c"}'),
        ("traces", {"prompt": ASK, "reasoning": "", "answer": SAY, "id": 1, "source_id": "b"}, '{"id":1}'),
    ],
)
def test_columns_without_a_field_are_kept_in_extra(name: str, row: dict[str, Any], extra: str | None) -> None:
    assert take(FORMATS[name], row)["extra"] == extra


def test_star1_joins_categories_and_is_harmful_unless_the_row_says_otherwise() -> None:
    row = {"id": "1", "question": ASK, "response": INLINE, "category": ["a", "b"], "source": "S"}
    prompt = named("prompts", trace_line(*sort_out(FORMATS["star1"], row), PLACE, 1).prompt)
    assert (prompt["category"], prompt["source"], prompt["source_id"]) == ("a | b", "S", "1")
    assert take(FORMATS["star1"], row)["kind"] == "harmful"
    assert take(FORMATS["star1"], row | {"kind": "benign"})["kind"] == "benign"


def test_the_study_says_safety_for_harmful() -> None:
    row = {"prompt": ASK, "response": INLINE}
    kinds = {t: take(FORMATS["study"], row | {"data_type": t})["kind"] for t in ("safety", "math", None)}
    assert kinds == {"safety": "harmful", "math": "math", None: None}


USER, BOT = {"role": "user", "content": ASK}, {"role": "assistant", "content": INLINE}


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("alpaca", {"instruction": ASK, "output": INLINE, "history": ["a", "b"]}, "wrong_type"),
        ("messages", {"messages": [USER], "response": None}, "missing_response"),
        ("messages", {"messages": [BOT]}, "missing_prompt"),
        ("messages", {"messages": "hello"}, "wrong_type"),
        ("messages", {"messages": [USER, {"role": "narrator", "content": "x"}]}, "wrong_type"),
        ("messages", {"messages": [USER, {"role": ["assistant"], "content": "x"}]}, "wrong_type"),
        ("completion", {"prompt": ASK, "completion": None}, "missing_response"),
        ("completion", {"prompt": None, "completion": INLINE}, "missing_prompt"),
        ("completion", {"prompt": 1, "completion": INLINE}, "wrong_type"),
        ("study", {"prompt": ASK, "response": None}, "missing_response"),
        ("study", {"prompt": ASK, "response": 7}, "wrong_type"),
        ("study", {"prompt": " \n", "response": INLINE}, "missing_prompt"),
        ("study", {"response": INLINE}, "missing_prompt"),
        ("study", {"prompt": ASK, "response": INLINE, "data_type": "poetry"}, "wrong_type"),
        ("study", {"prompt": ASK + "\0", "response": INLINE}, "nul_character"),
        ("study", {"prompt": ASK, "response": INLINE, "kind": "harmfull"}, "wrong_type"),
        ("study", {"prompt": ASK, "response": INLINE, "sample_index": "first"}, "wrong_type"),
        ("study", {"prompt": ASK, "response": INLINE, "sample_index": 2**40}, "wrong_type"),
        ("traces", {"prompt": ASK, "reasoning": None, "answer": SAY}, "missing_response"),
        (
            "traces",
            {"prompt": ASK, "reasoning": THINK, "answer": SAY, "finish_reason": "length"},
            "truncated",
        ),
        ("traces", ["not", "an", "object"], "wrong_type"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(name: str, row: Any, reason: str) -> None:
    with pytest.raises(BadRow) as bad:
        lines(FORMATS[name], row)
    assert bad.value.fault.reason == reason
    assert ASK not in bad.value.fault.detail


def test_a_map_takes_the_named_columns_and_keeps_the_rest() -> None:
    form = mapped({"prompt": "q", "response": "output", "id": "uid"})
    found = take(form, {"q": ASK, "output": INLINE, "uid": 5, "id": 6, "prompt": "p", "model": "m"})
    assert (found["prompt"], found["reasoning"], found["answer"]) == (ASK, THINK, SAY)
    assert (found["source_id"], found["model"]) == ("5", "m")
    assert found["extra"] == '{"id":6,"prompt":"p"}'


def test_a_map_may_swap_two_columns() -> None:
    form = mapped({"prompt": "answer", "reasoning": "thought", "answer": "prompt"})
    found = take(form, {"answer": ASK, "thought": THINK, "prompt": SAY})
    assert (found["prompt"], found["answer"]) == (ASK, SAY)


def test_a_map_without_a_response_makes_prompts() -> None:
    assert mapped({"prompt": "q"}).makes == "prompts"
    assert take(mapped({"prompt": "q"}), {"q": ASK, "z": 1})["extra"] == '{"z":1}'


def test_unknown_columns_are_of_no_format() -> None:
    assert detect({"left", "right"}) is None


@pytest.mark.parametrize(
    "beside",
    [
        {"reasoning": THINK, "answer": SAY},
        {"response": INLINE},
        {"reasoning_content": THINK, "response": SAY},
    ],
)
def test_a_response_may_stand_in_columns_beside_a_chat(beside: dict[str, Any]) -> None:
    found = take(
        FORMATS["messages"], {"messages": [{"role": "user", "content": ASK}], "model": "M", **beside}
    )
    assert (found["prompt"], found["reasoning"], found["answer"], found["extra"]) == (ASK, THINK, SAY, None)


def test_a_reference_answer_beside_a_whole_chat_and_a_messages_other_fields_are_kept_in_extra() -> None:
    turns = [{"role": "user", "content": ASK}, {"role": "assistant", "content": INLINE, "weight": 1}]
    found = take(FORMATS["messages"], {"messages": turns, "answer": "4"})
    assert (found["answer"], found["extra"]) == (SAY, '{"answer":"4","message":{"weight":1}}')


@pytest.mark.parametrize(
    "said",
    [
        {"finish_reason": "abort"},
        {"stop_reason": "max_tokens"},
        {"is_reasoning_complete": False},
        {"finish_reason": "a new word"},
    ],
)
def test_a_row_that_says_it_is_not_whole_is_no_answer(said: dict[str, Any]) -> None:
    with pytest.raises(BadRow) as bad:
        take(FORMATS["study"], {"prompt": ASK, "response": INLINE, **said})
    assert bad.value.fault.reason in ("cut", "truncated")
