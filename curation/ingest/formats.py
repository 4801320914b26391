"""The file formats that `curate ingest` knows: how each is recognised by its columns, and where its columns go.

A format turns a source row into fields: the names of Prompt's and Trace's columns, plus `response` for a text whose
reasoning is still inside. Columns that no field takes are kept, as one JSON object, in `extra`.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple

from curation.ingest import conversations
from curation.ingest.fields import META, BadRow
from curation.ingest.records import batches, evaluations, exchanges, published
from curation.ingest.records.judging import JudgedFormat
from curation.ingest.records.rubrics import CHAIN_OF_RISK, QWEN3GUARD_TEST, unfold_message
from curation.ingest.records.sentences import HARMTHOUGHTS
from schemas.choices import PromptKind
from schemas.response.messages import filled

TRACE_TEXT = ("prompt", "response", "reasoning", "answer")
MAPPABLE = (*TRACE_TEXT, "id", *sorted(META - {"id"}))
"""What may stand on the left of `--map field=column`."""
ID_ONLY = {"id": "source_id"}
REASONING_COLUMNS = ("reasoning", "reasoning_content", "thinking")
RESPONSE_COLUMNS = ("response", "answer")


Unfold = Callable[[dict[str, Any]], None]


class Format(NamedTuple):
    """One file format."""

    help: str
    """One line for `curate formats`."""
    columns: tuple[frozenset[str], ...]
    """A file that has all columns of one of these sets may be of this format."""
    takes: frozenset[str]
    """The columns that become fields; all others go to `extra`."""
    makes: Literal["traces", "prompts", "annotations"] = "traces"
    rename: Mapping[str, str] = ID_ONLY
    """Source column -> field, for columns that only need another name."""
    unfold: Unfold | None = None
    """Turns structured columns into fields, in place."""
    unfolds: frozenset[str] | None = None
    """The columns that `unfold` looks at: where a row has none of them it changes nothing. Null: it looks at all."""
    kind: PromptKind | None = None
    """The kind of its prompts where neither the row nor the user says one."""
    beside: bool = True
    """Whether reasoning, and the response to a chat that has none, may stand in columns of usual names."""
    judged: JudgedFormat | None = None
    """How its rows judge the traces that they bring."""


class Fields(NamedTuple):
    """A source row, sorted out."""

    fields: dict[str, Any]
    extra: dict[str, Any]


def sort_out(form: Format, row: Any) -> Fields:
    """Sort a source row into fields and extra columns.

    Raises:
        BadRow: wrong_type, missing_prompt, missing_response, or what is wrong with an earlier turn.
    """
    if type(row) is not dict:
        raise BadRow("wrong_type", f"a row must be an object of columns, not {type(row).__name__}")
    fields: dict[str, Any] = row.copy()
    extra: dict[str, Any] = {}
    if not fields.keys() <= form.takes:
        extra = {name: fields.pop(name) for name in row if name not in form.takes}
    # all are taken out before any is put back: a map may swap two columns
    for column, field, value in [(c, f, fields.pop(c)) for c, f in form.rename.items() if c in fields]:
        if field in fields:
            extra[column] = value
        else:
            fields[field] = value
    if form.unfold:
        form.unfold(fields)
        extra |= fields.pop("beside", None) or {}
    if form.beside and form.makes == "traces":
        _take_beside(fields, extra)
    return Fields(fields, extra)


def _take_beside(fields: dict[str, Any], extra: dict[str, Any]) -> None:
    """Take a response and its reasoning from columns that no format names, and make a message of both."""
    names = [name for name in REASONING_COLUMNS if filled(extra.get(name))]
    if not names and fields.keys() & {"message", "response", "answer"}:
        return
    message = fields.get("message")
    if message is None:
        column = next((name for name in RESPONSE_COLUMNS if filled(fields.get(name, extra.get(name)))), None)
        if column is None:
            return
        message = {"content": fields.pop(column) if column in fields else extra.pop(column)}
        if "reasoning" in fields:
            message["reasoning"] = fields.pop("reasoning")
    taken = {name: extra.pop(name) for name in names if not filled(message.get(name))}
    fields["message"] = message | taken


def detect(columns: Collection[str]) -> str | None:
    """The name of the first format whose columns are all there, or null."""
    names = set(columns)
    for name, form in FORMATS.items():
        if any(needed <= names for needed in form.columns):
            return name
    return None


def mapped(columns: Mapping[str, str]) -> Format:
    """The format that a user's `--map` describes.

    Args:
        columns: field -> column; `prompt` must be among the fields.
    """
    has_trace = not columns.keys().isdisjoint({"response", "reasoning", "answer"})
    rename = {column: "source_id" if field == "id" else field for field, column in columns.items()}
    targets = set(rename.values())
    return Format(
        help="the columns named with --map",
        columns=(frozenset(rename),),
        takes=META - targets - ({"id"} if "source_id" in targets else set()) | set(rename),
        makes="traces" if has_trace else "prompts",
        rename=(ID_ONLY if "id" not in rename else {}) | {c: f for c, f in rename.items() if c != f},
        beside=False,
    )


def _takes(names: str) -> frozenset[str]:
    return META | set(names.split())


def _needs(*sets: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(names.split()) for names in sets)


def _alpaca(fields: dict[str, Any]) -> None:
    """Join instruction and input, as Alpaca's own prompt does, with a blank line; a history is the earlier turns, after the system prompt."""
    history = fields.pop("history", None)
    instruction, given = fields.pop("instruction", None), fields.pop("input", None)
    prompt = f"{instruction}\n\n{given}" if isinstance(instruction, str) and given else instruction
    output = fields.pop("output", None)
    if history or fields.get("system"):
        conversations.unfold_history(fields, history or [], prompt)
    fields["prompt"], fields["response"] = prompt, output


def _chat(unfold: Unfold) -> Unfold:
    """A way to messages, and from there on as any chat."""

    def both(fields: dict[str, Any]) -> None:
        unfold(fields)
        conversations.unfold_messages(fields)

    return both


def _text_as_prompt(fields: dict[str, Any]) -> None:
    if "text" in fields:
        fields.setdefault("prompt", fields.pop("text"))


FORMATS: dict[str, Format] = {
    "annotations": Format(
        help="verdicts: source_id or trace_id, pattern, annotator, label or value[, score, spans, rationale]",
        columns=_needs(
            "source_id pattern annotator label",
            "trace_id pattern annotator label",
            "source_id pattern annotator value",
            "trace_id pattern annotator value",
        ),
        takes=_takes("source_id trace_id pattern annotator label value score spans rationale"),
        makes="annotations",
    ),
    "batch-output": Format(
        help="outputs of OpenAI, Mistral, vLLM, Anthropic and Gemini batches; name their file of requests too",
        columns=_needs("custom_id response", "custom_id result", "key response", "request response"),
        takes=_takes("custom_id key response result error request"),
        unfold=_chat(batches.unfold_output),
    ),
    "batch-requests": Format(
        help="requests of batches: joined with their outputs, prompts without them",
        columns=_needs("custom_id body", "custom_id params", "key request"),
        takes=_takes("custom_id key body params request"),
        unfold=_chat(batches.unfold_request),
    ),
    "inspect": Format(
        help="logs of Inspect (.eval, .json): input, messages, output, target (kept as the reference answer)",
        columns=_needs("input output target epoch", "input output target scores"),
        takes=_takes("input messages output target error attachments events store events_data timelines"),
        unfold=_chat(evaluations.unfold_inspect),
    ),
    "lm-eval": Format(
        help="lm-eval's samples_*.jsonl: arguments, resps, target (kept as the reference answer)",
        columns=_needs("doc_id arguments resps"),
        takes=_takes("doc_id arguments resps target"),
        unfold=_chat(evaluations.unfold_lm_eval),
    ),
    "harmthoughts": Format(
        help="HarmThoughts: a row a sentence (sentence, sentence_id, llm_annotation), a trace of all that share one; codebook behaviours",
        columns=_needs("query sentence sentence_id llm_annotation model_response"),
        takes=_takes("query model_response model_name class reasoning answer") - {"source_id"},
        rename=ID_ONLY
        | {"query": "prompt", "model_response": "response", "model_name": "model", "class": "category"},
        kind="harmful",
        beside=False,
        judged=HARMTHOUGHTS,
    ),
    "qwen3guard-test": Format(
        help="Qwen3GuardTest, splits with thinking: message, label and unsafe_type as a published label of `unsafe`",
        columns=_needs("unique_id message label unsafe_type"),
        takes=_takes("unique_id message"),
        rename=ID_ONLY | {"unique_id": "source_id"},
        unfold=unfold_message,
        kind="harmful",
        judged=QWEN3GUARD_TEST,
    ),
    "chain-of-risk": Format(
        help="Chain of Risk: query, generation, evaluations (JSON of principles for reasoning and answer); codebook principles",
        columns=_needs("query generation evaluations"),
        takes=_takes("query generation prompt_id scored_model"),
        rename=ID_ONLY
        | {
            "query": "prompt",
            "generation": "response",
            "prompt_id": "source_id",
            "scored_model": "model",
        },
        kind="harmful",
        judged=CHAIN_OF_RISK,
    ),
    "traces": Format(
        help="this project's traces: id, prompt, reasoning, answer[, strategy, model, kind, category, ...]",
        columns=_needs("prompt reasoning answer"),
        takes=_takes("prompt reasoning answer"),
    ),
    "star1": Format(
        help="STAR-1: question, response with inline think, category list, source, score (harmful)",
        columns=_needs("question response"),
        takes=_takes("question response"),
        rename=ID_ONLY | {"question": "prompt"},
        kind="harmful",
    ),
    "messages": Format(
        help="chats: messages of any API, reasoning inline, in a field or in parts; response and reasoning also in columns beside",
        columns=_needs("messages"),
        takes=_takes("messages tools functions"),
        unfold=conversations.unfold_messages,
    ),
    "gemini": Format(
        help="Gemini's chats: contents of parts, systemInstruction",
        columns=_needs("contents"),
        takes=_takes("contents systemInstruction system_instruction tools"),
        unfold=_chat(exchanges.unfold_contents),
    ),
    "open-thoughts-metadata": Format(
        help="OpenThoughts' metadata: problem, deepseek_reasoning, deepseek_solution, ground_truth_solution, domain",
        columns=_needs("problem deepseek_reasoning deepseek_solution"),
        takes=_takes("problem deepseek_reasoning deepseek_solution ground_truth_solution domain"),
        rename=ID_ONLY
        | {
            "problem": "prompt",
            "deepseek_reasoning": "reasoning",
            "deepseek_solution": "answer",
            "ground_truth_solution": "reference_answer",
        },
        unfold=published.unfold_domain,
        beside=False,
    ),
    "open-thoughts-3": Format(
        help="OpenThoughts 2 and 3: conversations, domain (category, and math or code as kind), source",
        columns=_needs("conversations domain"),
        takes=_takes("conversations domain"),
        unfold=published.unfold_domain,
    ),
    "open-thoughts": Format(
        help="open-thoughts: system, conversations with thought and solution markers",
        columns=_needs("conversations system"),
        takes=_takes("conversations tools functions"),
        unfold=conversations.unfold_conversations,
    ),
    "sharegpt": Format(
        help="ShareGPT: conversations of from and value",
        columns=_needs("conversations"),
        takes=_takes("conversations tools functions"),
        unfold=conversations.unfold_conversations,
    ),
    "completion": Format(
        help="prompt and completion, as texts or as lists of messages",
        columns=_needs("prompt completion"),
        takes=_takes("prompt completion tools"),
        unfold=conversations.unfold_completion,
    ),
    "study": Format(
        help="the safety study: prompt, response with inline think[, data_type (safety, math)]",
        columns=_needs("prompt response"),
        takes=_takes("prompt response data_type"),
        unfold=published.unfold_study,
        unfolds=frozenset({"data_type"}),
    ),
    "instruction": Format(
        help="SafeChain, R1-Act: instruction, response with inline think[, label such as vanilla_harmful]",
        columns=_needs("instruction response"),
        takes=_takes("instruction response label data_type"),
        rename=ID_ONLY | {"instruction": "prompt"},
        unfold=published.unfold_instruction,
        unfolds=frozenset({"label", "data_type"}),
    ),
    "alpaca": Format(
        help="Alpaca: instruction, input, output with inline think",
        columns=_needs("instruction output"),
        takes=_takes("instruction input output history"),
        unfold=_alpaca,
    ),
    "study-math": Format(
        help="the safety study's math rows: instruction, solution with inline think (math)",
        columns=_needs("instruction solution"),
        takes=_takes("instruction solution data_type"),
        rename=ID_ONLY | {"instruction": "prompt", "solution": "response"},
        unfold=published.unfold_study,
        unfolds=frozenset({"data_type"}),
        kind="math",
    ),
    "problems": Format(
        help="prompts only: problem, answer (kept as the reference answer), solution (MATH-500, AIME; math)",
        columns=_needs("problem answer"),
        takes=_takes("problem answer subject unique_id"),
        makes="prompts",
        rename=ID_ONLY
        | {
            "problem": "prompt",
            "answer": "reference_answer",
            "subject": "category",
            "unique_id": "source_id",
        },
        kind="math",
    ),
    "queries": Format(
        help="prompts only: final_query is asked, query is what it was made from (XSTest, AdvBench as the study has them)",
        columns=_needs("final_query"),
        takes=_takes("final_query"),
        makes="prompts",
        rename=ID_ONLY | {"final_query": "prompt"},
    ),
    "prompts": Format(
        help="prompts only: prompt or text[, id, kind, source, category, attack, reference_answer]",
        columns=_needs("prompt", "text"),
        takes=_takes("prompt text"),
        makes="prompts",
        unfold=_text_as_prompt,
    ),
}
"""Every format by name, in the order in which they are tried: the more telling columns come first."""
