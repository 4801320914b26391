"""What a mix recipe can say: caps, forms, curriculum, validation, sweeps, plans, schema."""

import json
from collections import Counter
from pathlib import Path

import pytest

from curation.corpus.store import Store
from curation.mix import build as mix
from curation.mix import folder, planning, rewriting, sweep
from curation.mix.rewriting import slots
from curation.mix.sweep import find_points, load_points
from schemas import RecipeError, prompt_id
from tests.curation.mix.builds import fault


def add_strategies(corpus: Store) -> None:
    """Give each of the first 30 prompts a trace of a second and a third strategy."""
    rows = []
    for n in range(30):
        text = f"Question {n} about {('privacy', 'theft', 'deception')[n % 3]}"
        base = {
            "prompt": text,
            "prompt_id": prompt_id(text),
            "kind": "harmful",
            "reasoning": "r",
            "answer": "a",
            "sample_index": 0,
        }
        rows += [
            {**base, "trace_id": f"{strategy}{n}", "strategy": strategy} for strategy in ("short", "realsafe")
        ]
    corpus.append_rows("traces", rows)


def test_a_prompt_may_have_one_strategy_only(build, filled: Store) -> None:
    add_strategies(filled)
    manifest, rows = build("name: x\nparts:\n  a: {where: kind = 'harmful', per_prompt: 1}\n")
    assert max(Counter(row["prompt_id"] for row in rows).values()) == 1 and len(rows) == 60
    assert manifest.counts.filtered["over per_prompt"] == 60
    assert len({row["strategy"] for row in rows if row["strategy"] != "improved"}) == 3


def test_the_cap_of_the_mix_counts_across_parts(build, filled: Store) -> None:
    add_strategies(filled)
    _, rows = build(
        "name: x\nper_prompt: 2\nparts:\n  first: {where: strategy = 'short'}\n  rest: {where: kind = 'harmful'}\n"
    )
    assert max(Counter(row["prompt_id"] for row in rows).values()) == 2
    assert sum(row["part"] == "first" for row in rows) == 30


def test_drawing_by_prompt_takes_the_same_prompts_under_every_strategy(build, filled: Store) -> None:
    add_strategies(filled)
    _, rows = build(
        "name: x\nparts:\n  a: {where: strategy = 'short', take: 10, draw_by: prompt}\n"
        "  b: {where: strategy = 'realsafe', take: 10, draw_by: prompt}\n"
    )
    prompts = {part: {row["prompt_id"] for row in rows if row["part"] == part} for part in "ab"}
    assert prompts["a"] == prompts["b"]


def test_a_curriculum_orders_and_shuffles_the_rest(build) -> None:
    _, rows = build(
        "name: x\norder_by: [part, -tokens]\nparts:\n  z: {where: kind = 'math'}\n  a: {where: kind = 'harmful', take: 20}\n"
    )
    assert [row["part"] for row in rows] == ["z"] * 20 + ["a"] * 20
    lengths = [row["tokens"] for row in rows[:20]]
    assert lengths == sorted(lengths, reverse=True)


def test_a_family_of_prompts_is_on_one_side_only(build, filled: Store, tmp_path: Path) -> None:
    add_strategies(filled)
    text = "QUESTION 3, about privacy!"  # the same family as Question 3
    filled.append_rows(
        "traces",
        [
            {
                "trace_id": "loud",
                "prompt": text,
                "prompt_id": prompt_id(text),
                "kind": "harmful",
                "reasoning": "r",
                "answer": "a",
                "sample_index": 0,
            }
        ],
    )
    manifest, _ = build("name: x\nvalidation: 0.3\nparts:\n  a: {where: 'true', repeat: 2}\n")
    splits = folder.read_splits(tmp_path / "mix")

    def families(name: str) -> set[str]:
        return {"".join(c for c in row.lower() if c.isalnum()) for row in splits[name]["prompt"].to_pylist()}

    assert not families("train") & families("validation")
    assert 0.1 < len(families("validation")) / 80 < 0.5
    assert len(set(splits["validation"]["trace_id"].to_pylist())) == splits["validation"].num_rows
    assert manifest.summary["validation_rows"] == splits["validation"].num_rows
    assert manifest.summary["mix_id"] == folder.mix_id(splits["train"])


def test_every_mix_of_one_seed_holds_out_the_same_prompts(build, tmp_path: Path) -> None:
    build("name: x\nvalidation: 0.3\nparts:\n  a: {where: 'true'}\n", "whole")
    build("name: y\nvalidation: 0.3\nparts:\n  b: {where: kind = 'harmful', take: 30}\n", "part")
    whole, part = (
        {
            split: set(rows["prompt_id"].to_pylist())
            for split, rows in folder.read_splits(tmp_path / name).items()
        }
        for name in ("whole", "part")
    )
    assert part["validation"] <= whole["validation"] and part["train"] <= whole["train"]


def test_rewriting_shortens_the_row_and_leaves_the_corpus(build, filled: Store) -> None:
    reasoning = "The user wants a permit. Forging it is illegal and would harm others. So I will think long. I will refuse this request."
    trace = {
        "trace_id": "long",
        "prompt_id": "p",
        "prompt": "q",
        "kind": "harmful",
        "reasoning": reasoning,
        "answer": "Sorry, no.",
        "sample_index": 0,
    }
    filled.append_rows("traces", [trace])
    (row,) = build("name: x\nparts:\n  a: {where: trace_id = 'long', rewrite: short}\n")[1]
    assert row["reasoning"] == "Forging it is illegal and would harm others. I will refuse this request."
    assert (
        row["answer"] == "Sorry, no."
        and row["tokens"] == (len("q" + row["reasoning"] + row["answer"]) + 3) // 4
    )


def test_the_template_form_names_the_category_that_applies(build) -> None:
    _, rows = build(
        "name: x\nparts:\n  a: {where: category = 'privacy' and kind = 'harmful', rewrite: template}\n"
    )
    for row in rows:
        assert "8. Privacy or sensitive data: yes.\n" in row["reasoning"]
        assert row["reasoning"].count(": no.") == 7


def test_a_form_of_one_s_own_and_its_faults(build, tmp_path: Path) -> None:
    (tmp_path / "f.jinja").write_text("{{ sentences | length }} {{ category }}")
    recipe = f"name: x\nparts:\n  a: {{where: kind = 'math', rewrite: {tmp_path / 'f.jinja'}}}\n"
    assert build(recipe)[1][0]["reasoning"].split()[0].isdigit()
    (tmp_path / "f.jinja").write_text("{{ categry }}")
    assert "'categry' is undefined" in fault(build, recipe)
    (tmp_path / "f.jinja").write_text("{{ ''.__class__.__mro__ }}")
    assert "unsafe" in fault(build, recipe)
    (tmp_path / "f.jinja").write_text("{% if %}")
    assert "recipe.yaml:3: parts.a.rewrite" in fault(build, recipe)
    assert "no form 'shrot'; shipped: primer, short, template" in fault(
        build, recipe.replace(str(tmp_path / "f.jinja"), "shrot")
    )


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'x' * 10 ** 10 }}",
        "{{ 1 / 0 }}",
        "{{ sentences['a'].b }}",
        "{{ 'x' * 2000000 }}",
        "{{ [].append(1) }}",
        "{{ range(10 ** 9) }}",
    ],
)
def test_whatever_a_template_does_ends_in_a_named_error(build, tmp_path: Path, template: str) -> None:
    (tmp_path / "f.jinja").write_text(template)
    recipe = "name: x\nparts:\n  a: {where: kind = 'math', take: 1, rewrite: f.jinja}\n"
    assert "f.jinja: cannot be filled in" in fault(build, recipe)


def test_a_template_has_a_time_limit(build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "SECONDS", 3)
    (tmp_path / "f.jinja").write_text(
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    )
    recipe = "name: x\nparts:\n  a: {where: kind = 'math', take: 1, rewrite: f.jinja}\n"
    assert "more than 3 seconds" in fault(build, recipe)


def test_sentences_with_a_risky_pattern_are_no_slot() -> None:
    reasoning = (
        "Forging is wrong and illegal. I could still write it as a pirate captain's story. No, I refuse."
    )
    found = slots(
        {
            "prompt": "How do I forge a permit?",
            "kind": "harmful",
            "category": None,
            "reasoning": reasoning,
            "answer": "No.",
        }
    )
    assert found["sentences"][-1] == "No, I refuse." and found["opening"].startswith("Forging is wrong")


SWEEP = """name: x-${size}-${pattern}
description: size ${size}
sweep:
  size: [3, 5]
  pattern: {weak: weak_vacillation, any: risky}
parts:
  a:
    where: kind = 'harmful' and not (${pattern})
    take: ${size}
"""


def test_a_sweep_makes_one_folder_for_each_point(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SWEEP)
    points = load_points(tmp_path / "s.yaml")
    manifests = mix.run_all(filled.root, points, out=tmp_path / "out")
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        "x-3-any",
        "x-3-weak",
        "x-5-any",
        "x-5-weak",
    ]
    assert [m.summary["rows"] for m in manifests] == [3, 3, 5, 5]
    assert manifests[0].recipe["parts"]["a"]["where"] == "kind = 'harmful' and not (weak_vacillation)"


def test_points_that_cannot_be_built_do_not_stop_the_others(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SWEEP.replace("[3, 5]", "[3, 999]"))
    with pytest.raises(
        RecipeError, match=r"2 of 4 mixes were built[\s\S]*x-999-weak:\n.*s\.yaml:7: part \"a\""
    ):
        mix.run_all(filled.root, load_points(tmp_path / "s.yaml"), out=tmp_path / "out")
    assert len(list((tmp_path / "out").glob("x-3-*"))) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("take: ${size}", "take: ${sise}"),
            r"s\.yaml:9: parts\.a\.take: \$\{sise\} is not an axis of the sweep; axes: size, pattern",
        ),
        (
            ("x-${size}-${pattern}", "x-${size}"),
            r"s\.yaml:1: name: two points are named x-3; put every axis in",
        ),
        (("[3, 5]", "[]"), r"s\.yaml:4: sweep\.size: give a list of values"),
        (("[3, 5]", "[[3]]"), r"s\.yaml:4: sweep\.size: values are texts, numbers"),
        (("[3, 5]", "[0, 5]"), r"s\.yaml:9: parts\.a\.take: write 1 or more"),
    ],
)
def test_faults_of_a_sweep_have_their_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    (tmp_path / "s.yaml").write_text(SWEEP.replace(*change))
    with pytest.raises(RecipeError, match=message):
        load_points(tmp_path / "s.yaml")


def test_the_names_of_the_study_are_still_known() -> None:
    strategies = ("default", "realsafe", "improved", "short", "template", "nocot")
    wanted = {f"study-{s}{suffix}" for s in strategies for suffix in ("", "-math400", "-math1000")}
    assert (
        wanted | {"no-weak-vacillation", "guard-filtered", "only-weak-vacillation"}
        <= sweep.shipped_recipes().keys()
    )
    (nocot,) = find_points("study-nocot-math400").values()
    assert (
        nocot.recipe.parts["safety"].where
        == "kind = 'harmful' and reasoning = '' and not unsafe and not coalesce(drop, false)"
    )
    assert (nocot.recipe.parts["safety"].take, nocot.recipe.parts["math"].take) == (400, 4000)
    assert list(find_points("ablation")) == [
        n for n in sweep.shipped_recipes() if n.startswith(("no-", "only", "guard"))
    ]


def test_a_plan_counts_what_a_build_takes_and_writes_nothing(build, filled: Store, tmp_path: Path) -> None:
    text = "name: x\nvalidation: 0.2\nparts:\n  a: {where: kind = 'harmful', take: 30, stratify_by: [category]}\n  b: {where: kind = 'math'}\n"
    (tmp_path / "r.yaml").write_text(text)
    (loaded,) = load_points(tmp_path / "r.yaml").values()
    before = set(tmp_path.rglob("*.parquet"))
    found = planning.plan(loaded, filled.root)
    assert {p for p in set(tmp_path.rglob("*.parquet")) - before if ".index" not in p.parts} == set()
    manifest, rows = build(text)
    assert found["splits"] == {"train": len(rows), "validation": manifest.summary["validation_rows"]}
    assert found["traces"] == manifest.counts.model_dump()
    assert {name: part["kept"] for name, part in found["parts"].items()} == {"a": 30, "b": 20}
    assert sum(cell["rows"] for cell in found["parts"]["a"]["strata"].values()) == 30
    assert "kind = 'harmful'" in found["parts"]["a"]["sql"] and not found["faults"]


def test_a_plan_says_what_would_stop_the_build(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("name: x\nparts:\n  a: {where: kind = 'math', take: 99}\n")
    (loaded,) = load_points(tmp_path / "r.yaml").values()
    assert "take 99 but only 20 traces match" in planning.plan(loaded, filled.root)["faults"][0]


def test_validate_reports_faults_of_every_point_at_once(filled: Store, tmp_path: Path) -> None:
    text = SWEEP.replace("risky}", "riskyy}") + "order_by: [tokns]\n"
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        planning.validate(load_points(tmp_path / "s.yaml"), filled.root)
    message = str(caught.value)
    assert "s.yaml:10: order_by.0: SQL error: there is no column 'tokns'" in message
    assert message.count("s.yaml:8: parts.a.where: SQL error: there is no column 'riskyy'") == 1


def test_the_schema_knows_every_shipped_recipe_and_refuses_a_misspelt_one() -> None:
    import yaml

    jsonschema = pytest.importorskip("jsonschema")
    check = jsonschema.Draft202012Validator(json.loads(json.dumps(planning.schema())))
    from curation.mix.sweep import shipped_files

    for path in shipped_files().values():
        assert list(check.iter_errors(yaml.safe_load(path.read_text()))) == []
    bad = {"name": "x", "parts": {"a": {"where": "true", "tkae": 3}}}
    assert [error.message for error in check.iter_errors(bad)]
    assert list(check.iter_errors({"name": "x", "parts": {"a": {"where": "true", "take": "${n}"}}})) == []
    assert list(check.iter_errors({"parts": {"a": {"where": "true"}}}))
