"""Every shipped recipe against rows that its description says it takes, and rows that it must not take."""

import json
import re
from collections.abc import Callable
from hashlib import md5
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.store import Store
from curation.mix import build as mix
from curation.mix import sweep
from curation.mix.folder import read_rows
from schemas import RISKY_PATTERNS, RecipeError
from tests.command_line import curate

STRATEGIES = ("default", "realsafe", "improved", "short", "template", "nocot")
GUARDED = ("unsafe", "unsafe_reasoning", "unsafe_answer")
Trace = dict[str, Any]


def traces() -> list[Trace]:
    """Each strategy's traces by what a guard said of them, and by each pattern present, absent or not judged; benign and math ones."""
    rows: list[Trace] = [
        {"kind": "harmful", "strategy": strategy, "unsafe": unsafe}
        for strategy, unsafe in product(STRATEGIES, (False, True, None))
    ]
    rows += [
        {"kind": "harmful", "strategy": strategy, "unsafe": False, pattern: present}
        for strategy, pattern, present in product(STRATEGIES, RISKY_PATTERNS, (True, None))
    ]
    rows += [
        {"kind": "benign", "strategy": "default", "inconsistency": inconsistent, "answer_refusal": refuses}
        for refuses, inconsistent in product((False, True, None), (False, True))
    ]
    rows += [
        {"kind": "harmful", "strategy": "nocot", "unsafe": unsafe, "answer_refusal": refuses}
        for unsafe, refuses in product((False, True, None), (False, True))
    ]
    rows += [{"kind": "math", "strategy": "default"}, {"kind": None, "strategy": "improved", "unsafe": False}]
    return [{"trace_id": f"t{n:03}", "unsafe": None, **dict.fromkeys(RISKY_PATTERNS, False), **row} for n, row in enumerate(rows)]  # fmt: skip


TRACES = {trace["trace_id"]: trace for trace in traces()}
RANKS = {trace_id: rank for rank, trace_id in enumerate(TRACES, 1)}
"""Of the rows for over-refusal, as if the first trace had taught it most."""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Store:
    corpus = Store.create(tmp_path_factory.mktemp("judged") / "corpus")
    prompts, rows, labels = [], [], []
    for name, trace in TRACES.items():
        prompts.append({"prompt_id": f"p-{name}", "text": f"Question {name}", "kind": trace["kind"]})
        rows.append(
            {
                "trace_id": name, "prompt_id": f"p-{name}", "prompt": f"Question {name}", "kind": trace["kind"],
                "strategy": trace["strategy"], "sample_index": 0, "answer": "No.",
                "reasoning": "" if trace["strategy"] == "nocot" else "Hm.",
            }
        )  # fmt: skip
        labels += [
            (name, pattern, "rules@1", trace.get(pattern)) for pattern in (*RISKY_PATTERNS, "answer_refusal")
        ]
        labels += [(name, pattern, "guard:g@1", trace["unsafe"]) for pattern in GUARDED]
    names = ("trace_id", "pattern", "annotator", "label")
    corpus.append_rows("prompts", prompts)
    corpus.append_rows("traces", rows)
    corpus.append_rows("annotations", [dict(zip(names, label, strict=True)) for label in labels])
    corpus.append_rows("influences", [
        {
            "attribution_id": "a", "row_id": f"r-{name}", "trace_id": name, "part": "all", "behaviour": "overrefusal", "method": "gradients",
            "influence": -float(rank), "rank": rank, "share": rank / len(RANKS), "version": 1, "model": "m", "mix_id": "m",
        }
        for name, rank in RANKS.items()
    ])  # fmt: skip
    return corpus


def safety_of_study(strategy: str) -> Callable[[Trace], bool]:
    return lambda t: t["kind"] == "harmful" and t["strategy"] == strategy and t["unsafe"] is False


def without(*patterns: str) -> Callable[[Trace], bool]:
    return lambda t: (
        t["kind"] == "harmful"
        and t["strategy"] == "default"
        and all(t[pattern] is False for pattern in patterns)
    )


def benign(trace: Trace) -> bool:
    return trace["kind"] == "benign" and not trace["inconsistency"] and trace["answer_refusal"] is not True


def structured(trace: Trace) -> bool:
    safe = trace["kind"] == "harmful" and trace["unsafe"] is False
    return safe and trace["strategy"] != "nocot" and trace["inconsistency"] is not True


def math(trace: Trace) -> bool:
    return trace["kind"] == "math"


def promises(name: str) -> dict[str, Callable[[Trace], bool]]:
    """What each part of a shipped recipe takes, after its name and description."""
    if found := re.fullmatch(r"study-unfiltered-(\w+)", name):
        strategy = found[1]
        return {
            "safety": lambda t: t["kind"] == "harmful" and t["strategy"] == strategy,
            "benign": benign,
        }
    if re.fullmatch(r"study-improved-size\d+", name):
        return {"safety": safety_of_study("improved"), "benign": benign}
    if name == "study-improved-benign0":
        return {"safety": safety_of_study("improved")}
    if re.fullmatch(r"study-improved-benign\d+", name):
        return {"safety": safety_of_study("improved"), "benign": benign}
    if re.fullmatch(r"study-improved-benign\d+-math\d+", name):
        return {"safety": safety_of_study("improved"), "benign": benign, "math": math}
    if found := re.fullmatch(r"study-(\w+)-math\d+", name):
        return {"safety": safety_of_study(found[1]), "math": math}
    if found := re.fullmatch(r"study-(\w+)", name):
        return {"safety": safety_of_study(found[1]), "benign": benign}
    if name == "presafe":
        return {
            "refused": lambda t: safety_of_study("nocot")(t) and t.get("answer_refusal") is True,
            "answered": benign,
        }
    if name == "safepath":
        return {
            "trigger": lambda t: t["kind"] == "harmful" and t["strategy"] != "nocot",
            "retain": lambda t: benign(t) or math(t),
        }
    if name == "whole-ranked":
        return {"all": lambda t: True}
    if found := re.fullmatch(r"without-top-(\d+)", name):
        share = int(found[1]) / 100
        return {"all": lambda t: RANKS[t["trace_id"]] / len(RANKS) > share}
    if name == "without-random-5":
        return {"all": lambda t: md5(t["trace_id"].encode(), usedforsecurity=False).hexdigest() >= "0ccccccc"}
    if name.startswith("structure-"):
        return {"safety": structured, "benign": benign}
    ablations = {
        "no-risky-pattern": without(*RISKY_PATTERNS),
        "only-weak-vacillation": without(*(p for p in RISKY_PATTERNS if p != "weak_vacillation")),
        "guard-filtered": without("unsafe"),
        **{f"no-{pattern.replace('_', '-')}": without(pattern) for pattern in RISKY_PATTERNS},
    }
    return {"safety": ablations[name]}  # a new recipe says here what it takes


@pytest.mark.parametrize("name", sweep.shipped_recipes())
def test_a_shipped_recipe_takes_what_it_says_and_nothing_else(
    judged: Store, tmp_path: Path, name: str
) -> None:
    (loaded,) = sweep.find_points(name).values()
    everything = {part: wish.model_copy(update={"take": "all"}) for part, wish in loaded.recipe.parts.items()}
    mix.run(
        judged.root,
        loaded._replace(recipe=loaded.recipe.model_copy(update={"parts": everything})),
        out=tmp_path / "mix",
    )
    taken = read_rows(tmp_path / "mix", ["part", "trace_id"]).to_pylist()
    for part, takes in promises(name).items():
        wanted = {trace_id for trace_id, trace in TRACES.items() if takes(trace)}
        assert wanted and {row["trace_id"] for row in taken if row["part"] == part} == wanted
    assert loaded.recipe.parts.keys() == promises(name).keys()


def test_a_corpus_that_no_guard_has_judged_names_the_commands(tmp_path: Path) -> None:
    corpus = Store.create(tmp_path / "corpus")
    corpus.append_rows("prompts", [{"prompt_id": "p", "text": "Q", "kind": "harmful"}])
    row = {"trace_id": "t", "prompt_id": "p", "prompt": "Q", "kind": "harmful", "strategy": "improved"}
    corpus.append_rows("traces", [row | {"sample_index": 0, "reasoning": "Hm.", "answer": "No."}])
    with pytest.raises(RecipeError) as caught:
        (loaded,) = sweep.find_points("study-improved").values()
        mix.run(corpus.root, loaded, out=tmp_path / "mix")
    message = str(caught.value)
    assert "unsafe: null 1" in message and "study-unfiltered" in message
    assert message.count("`curate annotate --annotators guard:") == 2


def test_several_labels_of_a_category_stratify_by_the_rarest(tmp_path: Path) -> None:
    corpus = Store.create(tmp_path / "corpus")
    categories = ["theft"] * 6 + ["privacy | theft"] * 3 + ["fraud | privacy | theft"] + [None] * 2
    corpus.append_rows(
        "prompts",
        [{"prompt_id": f"p{n}", "text": f"Q{n}", "category": c} for n, c in enumerate(categories)],
    )
    corpus.append_rows(
        "traces",
        [
            {"trace_id": f"t{n}", "prompt_id": f"p{n}", "prompt": f"Q{n}", "sample_index": 0, "reasoning": "Hm.", "answer": "No."}
            for n in range(len(categories))
        ],
    )  # fmt: skip
    (tmp_path / "m.yaml").write_text(
        "name: m\nparts: {a: {where: 'true', take: 8, stratify_by: [strategy, category], at_least: 1}}\n"
    )
    manifest = mix.run(corpus.root, tmp_path / "m.yaml", out=tmp_path / "mix")
    strata: Any = manifest.summary["parts"]["a"]["strata"]  # type: ignore[index]
    assert {cell: counts["traces"] for cell, counts in strata.items()} == {
        "null / theft": 6, "null / privacy": 3, "null / fraud": 1, "null / null": 2,
    }  # fmt: skip
    assert sum(counts["rows"] for counts in strata.values()) == 8 and all(c["rows"] for c in strata.values())


def test_real_categories_make_few_strata(shared_data: Path, tmp_path: Path) -> None:
    curate("ingest", shared_data / "star1.json", cwd=tmp_path)
    (tmp_path / "m.yaml").write_text(
        "name: m\nparts: {a: {where: 'true', take: 100, stratify_by: [category]}}\n"
    )
    done = curate("build-mix", "m.yaml", "--out", "mix", "--json", cwd=tmp_path)
    assert len(json.loads(done.stdout)["summary"]["parts"]["a"]["strata"]) <= 12
