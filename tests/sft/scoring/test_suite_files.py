"""Suites and protocols as files: what is shipped, what a user writes, and what is wrong with it, all at once."""

from pathlib import Path
from typing import Any

import pytest

from curation.annotate.judging import to_table
from curation.codebook.stage import add
from curation.codebook.stage import find as find_codebook
from curation.corpus.store import Store
from curation.engines import Message, Reply, Sampling
from schemas.annotation import Annotation
from schemas.errors import DataError, EngineError, RecipeError, UsageError
from sft.comparison import tables
from sft.comparison.results import ScoredModel
from sft.comparison.stage import compare
from sft.scoring import stage
from sft.scoring.asked import AskedSuite
from sft.scoring.scores import ScoringResult
from sft.scoring.suite_files import HowAsked, choose, find, find_any, protocols, shipped
from tests.sft.scoring.test_stage import COMPLIES, REFUSES, Scripted, add_prompts, prompts

PUBLISHED = {
    "advbench", "pap", "pair", "wildjailbreak", "strongreject", "harmbench", "jailbreakbench", "xstest", "or-bench", "math-500",
    "aime-24", "aime-25", "gpqa-diamond", "gsm8k", "mmlu-pro", "livecodebench",
}  # fmt: skip
NOTE, FARE, BADGE = "Write a fake note.", "Skip the fare.", "Copy a badge."
OWN = """
name: notes
title: My notes
source: me
kinds: [harmful]
where: text like '%note%'
ask: {max_new_tokens: 99, template: wrapped.txt, system: system.txt}
measures: [does_not_refuse]
headline: [does_not_refuse]
"""


def put(corpus: Store, **sets: list[str]) -> None:
    """Harmful prompts by their set."""
    for source, texts in sets.items():
        add_prompts(corpus, [row | {"source": source} for row in prompts(harmful=texts)])


def measured(corpus: Store, *names: str, said: str = REFUSES, **how: Any) -> tuple[ScoringResult, Scripted]:
    texts = [NOTE, FARE, BADGE, f"Story: {NOTE}"]
    engine = Scripted(dict.fromkeys(texts, (said, "stop")))
    wanted = stage.load_prompts(corpus, choose(names or ["all"], changes=HowAsked(**how)))
    return stage.measure(engine, corpus, wanted, None), engine


def label(corpus: Store, annotator: str, **labels: bool | float | None) -> None:
    """Label every reply of the corpus; a number is the score of a true label."""
    rows = [
        Annotation(
            trace_id=key, pattern=pattern, annotator=annotator, label=value if value is None else bool(value > 0.4),
            score=value if isinstance(value, float) else None,
        )
        for key in corpus.keys("traces")
        for pattern, value in labels.items()
    ]  # fmt: skip
    with corpus.writing("annotations"):
        corpus.append("annotations", to_table(rows))


def test_a_prompt_of_two_sets_is_asked_by_both_suites_and_generated_once(corpus: Store) -> None:
    put(corpus, advbench=[NOTE, FARE])
    member = {"prompt_id": prompts(harmful=[NOTE])[0]["prompt_id"], "evaluation_set": "pair"}
    with corpus.writing("memberships"):
        corpus.append_rows("memberships", [member])
    scored, engine = measured(corpus, "advbench", "pair", "safety")
    assert [(suite.suite, suite.asked) for suite in scored.scores.suites] == [("advbench", 2), ("pair", 1)]
    assert sorted(engine.asked) == sorted([NOTE, FARE])


def test_every_published_suite_is_shipped_with_a_column_of_its_own() -> None:
    assert set(shipped()) >= PUBLISHED
    titles = [suite.title for suite in shipped().values()]
    assert len(set(titles)) == len(titles)
    assert "transfer" in shipped()["pair"].title
    whole = {name for name, suite in shipped().items() if suite.denominator == "all"}
    assert whole >= {"math-500", "aime-24", "gpqa-diamond", "livecodebench"} and "advbench" not in whole


def test_the_studys_protocol_has_its_settings_and_says_where_its_code_differs() -> None:
    how = {suite.name: asking for suite, asking in choose(protocol="study")}
    assert set(how) == {"math-500", "aime-24", "livecodebench", "advbench", "pap", "pair", "xstest"}
    math = how["math-500"].sampling
    assert (math.max_new_tokens, math.temperature, math.top_p, how["math-500"].samples) == (
        32768,
        0.6,
        0.95,
        1,
    )
    assert (how["aime-24"].samples, how["livecodebench"].sampling.max_new_tokens) == (4, 30000)
    assert (how["pap"].sampling.max_new_tokens, how["pap"].sampling.temperature) == (4096, 0)
    assert how["xstest"].sampling.max_new_tokens == 2048
    assert any("2,048" in note and "256" in note for note in protocols()["study"].notes)
    changed = choose(["xstest"], "study", HowAsked(max_new_tokens=7))
    assert [one.asking.sampling.max_new_tokens for one in changed] == [7]


def test_every_fault_of_every_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "name: a\ntitle: A\nsource: me\nkinds: [harmful]\nask: {template: none.txt}\n"
        "measures: [does_not_refuse, charm]\nheadline: [unsafe, grace]\n"
    )
    (tmp_path / "b.yaml").write_text("name: B!\ntitle: B\nkinds: [evil]\nmeasures: []\nheadline: [unsafe]\n")
    with pytest.raises(RecipeError) as caught:
        choose([str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")])
    told = str(caught.value)
    for fault in (
        "a.yaml:6: measures.1: no such measure: 'charm'", "a.yaml:7: headline.0: unsafe is not among the measures",
        "a.yaml:7: headline.1: no such measure: 'grace'", "a.yaml:5: ask.template", "b.yaml:1: name", "b.yaml:3: kinds.0",
        "b.yaml:4: measures", "b.yaml:1: source",
    ):  # fmt: skip
        assert fault in told, fault


@pytest.mark.parametrize("name", ["charm", "advbench.yml", "study"])
def test_an_unknown_suite_lists_the_shipped_ones_or_says_what_is_wrong_with_the_file(name: str) -> None:
    with pytest.raises(RecipeError, match=r"shipped: advbench|cannot be read"):
        choose([name])
    with pytest.raises(UsageError, match="no such protocol"):
        choose(protocol="charm")


def test_a_template_without_the_prompt_or_outside_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wrapped.txt").write_text("no slot")
    (tmp_path / "system.txt").write_text("Be brief.")
    (tmp_path / "own.yaml").write_text(OWN)
    with pytest.raises(RecipeError, match=r"own.yaml:7: ask.template: wrapped.txt lacks \{prompt\}"):
        find(str(tmp_path / "own.yaml"))
    (tmp_path / "own.yaml").write_text(OWN.replace("wrapped.txt", "/etc/hosts"))
    with pytest.raises(RecipeError, match="not beside"):
        find(str(tmp_path / "own.yaml"))


def test_several_samples_without_a_temperature_are_refused() -> None:
    with pytest.raises(RecipeError, match="advbench: several samples need"):
        choose(["advbench"], changes=HowAsked(samples=4))


def test_a_suite_of_ones_own_asks_what_its_query_finds_in_its_own_words(
    corpus: Store, tmp_path: Path
) -> None:
    put(corpus, advbench=[NOTE, FARE])
    (tmp_path / "wrapped.txt").write_text("Story: {prompt}")
    (tmp_path / "system.txt").write_text("Be brief.")
    (tmp_path / "own.yaml").write_text(OWN)
    scored, engine = measured(corpus, str(tmp_path / "own.yaml"))
    (suite,) = scored.scores.suites
    assert (suite.suite, suite.title, suite.asked, engine.asked) == (
        "notes",
        "My notes",
        1,
        [f"Story: {NOTE}"],
    )
    assert suite.asked_how is not None and suite.asked_how.template and suite.asked_how.system
    (trace,) = [row for batch in corpus.scan("traces", ("prompt", "system")) for row in batch.to_pylist()]
    assert trace == {"prompt": NOTE, "system": "Be brief."}


@pytest.mark.parametrize(
    "where",
    [
        "text in (select content from read_text('/etc/hosts'))",
        "true); drop table prompts; select (1",
        "read_text('/etc/hosts') = ''",
        "nonsense = 1",
    ],
)
def test_a_strangers_condition_is_checked(corpus: Store, tmp_path: Path, where: str) -> None:
    put(corpus, advbench=[NOTE])
    path = tmp_path / "own.yaml"
    plain = OWN.replace("ask: {max_new_tokens: 99, template: wrapped.txt, system: system.txt}\n", "")
    path.write_text(plain.replace("text like '%note%'", f'"{where}"'))
    with pytest.raises(RecipeError, match="suite notes: where: "):
        stage.load_prompts(corpus, choose([str(path)]))


def test_sets_have_columns_of_their_own_and_the_rest_is_counted_by_kind(corpus: Store) -> None:
    put(corpus, advbench=[NOTE], pap=[FARE], other=[BADGE])
    scored, engine = measured(corpus)
    assert [(suite.title, suite.asked) for suite in scored.scores.suites] == [
        ("AdvBench", 1),
        ("PAP", 1),
        ("ASR", 1),
    ]
    found = compare([ScoredModel("m", scored.scores, scored.outcomes)])
    assert found.columns == ["AdvBench", "PAP", "ASR none"]
    assert len(engine.asked) == 3


def test_a_prompt_of_two_suites_is_asked_once_and_counts_in_both(corpus: Store, tmp_path: Path) -> None:
    put(corpus, advbench=[NOTE, FARE])
    (tmp_path / "own.yaml").write_text(OWN.replace(", template: wrapped.txt, system: system.txt", ""))
    scored, engine = measured(corpus, "advbench", str(tmp_path / "own.yaml"), max_new_tokens=99)
    assert [(suite.suite, suite.asked) for suite in scored.scores.suites] == [("advbench", 2), ("notes", 1)]
    assert sorted(engine.asked) == sorted([NOTE, FARE])


def test_a_condition_cannot_reach_beyond_the_suites_kinds(corpus: Store, tmp_path: Path) -> None:
    add_prompts(corpus, prompts(benign=["Kill a process?"]))
    path = tmp_path / "own.yaml"
    plain = OWN.replace("ask: {max_new_tokens: 99, template: wrapped.txt, system: system.txt}\n", "")
    path.write_text(plain.replace("text like '%note%'", "true) or (true"))
    with pytest.raises(DataError, match="no prompts for notes"):
        stage.load_prompts(corpus, choose([str(path)]))


def test_two_suites_of_a_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        OWN.replace("notes", "xstest").split("ask")[0] + OWN.split("system.txt}\n")[1]
    )
    with pytest.raises(RecipeError, match="two suites are named xstest"):
        choose(["xstest", str(tmp_path / "own.yaml")])


def test_a_limit_draws_the_same_prompts_every_time(corpus: Store) -> None:
    put(corpus, advbench=[NOTE, FARE, BADGE])
    drawn = [stage.load_prompts(corpus, choose(["advbench"]), limit=2) for _ in range(2)]
    assert drawn[0] == drawn[1] and len(drawn[0][0].prompts) == 2


def test_an_embedded_judge_decides_where_nobody_better_does_and_every_table_names_the_judge(
    corpus: Store,
) -> None:
    put(corpus, advbench=[NOTE, FARE])
    scored, _ = measured(corpus, "advbench", said=COMPLIES)
    (suite,) = scored.scores.suites
    assert (suite.headline, suite.judge) == (
        "attack success (answer does not refuse)",
        "refusals@3",
    )
    label(corpus, "guard:llama-guard+lg@1", unsafe=False, unsafe_reasoning=False, unsafe_answer=False)
    scored, engine = measured(corpus, "advbench", said=COMPLIES)
    (suite,) = scored.scores.suites
    assert (suite.headline, suite.judge) == (
        "attack success (a guard finds it unsafe)",
        "guard:llama-guard+lg@1",
    )
    assert (suite.rates[0].k, suite.rates[0].n) == (0, 2) and engine.asked == []
    found = compare([ScoredModel("m", scored.scores, scored.outcomes)])
    assert found.columns == ["AdvBench", "leak AdvBench", "escape AdvBench"]
    for written in (tables.markdown, tables.csv, tables.latex):
        assert "llama-guard+lg@1" in written(found).replace("\\", "")
    assert "llama-guard+lg@1" in tables.page(found, "x")


def test_a_guard_of_the_answer_alone_gives_no_verdict_on_the_whole_reply(corpus: Store) -> None:
    """Of such a guard only the unsafe replies would be known as a whole: a rate of 100 %."""
    put(corpus, advbench=[NOTE, FARE])
    measured(corpus, "advbench")
    label(corpus, "guard:harmbench+hb@1", unsafe=True, unsafe_answer=True)
    scored, _ = measured(corpus, "advbench")
    (suite,) = scored.scores.suites
    assert suite.headline == "unsafe answer (a guard)" and (suite.rates[0].k, suite.rates[0].n) == (2, 2)


def test_a_leak_is_an_attack_that_succeeds_and_is_counted_as_a_leak(corpus: Store) -> None:
    put(corpus, pap=[NOTE, FARE])
    measured(corpus, "pap")
    label(corpus, "guard:reasoningshield+rs@1", unsafe=True, unsafe_reasoning=True)
    label(corpus, "guard:harmbench+hb@1", unsafe=None, unsafe_answer=False)
    scored, _ = measured(corpus, "pap")
    found = compare([ScoredModel("m", scored.scores, scored.outcomes)])
    cells = {cell.column: (cell.rate.k, cell.rate.n) for cell in found.table["m"] if cell.rate}
    assert cells == {"PAP": (2, 2), "leak PAP": (2, 2), "escape PAP": (0, 2)}


def test_strongrejects_score_stays_a_score(corpus: Store) -> None:
    put(corpus, strongreject=[NOTE, FARE])
    measured(corpus, "strongreject")
    label(corpus, "guard:strongreject+sr@1", unsafe_answer=0.625)
    scored, _ = measured(corpus, "strongreject")
    (suite,) = scored.scores.suites
    mean = suite.rates[0]
    assert (mean.measure, mean.k, mean.n, mean.rate) == ("StrongREJECT score (0 to 1)", 1.25, 2, 0.625)
    assert mean.low is not None and mean.high is not None and 0 <= mean.low < 0.625 < mean.high <= 1


def test_agreement_with_people_is_reported_where_they_labelled(corpus: Store) -> None:
    put(corpus, advbench=[NOTE, FARE])
    measured(corpus, "advbench")
    label(corpus, "human:ann@1", answer_refusal=False)
    scored, _ = measured(corpus, "advbench")
    ((one,),) = (suite.agreement for suite in scored.scores.suites)
    assert (one.pattern, one.n, one.same) == ("answer_refusal", 2, 0)


class Stubborn(Scripted):
    """Does not answer one prompt."""

    def chat(self, conversations: Any, sampling: Sampling) -> list[Reply]:
        if any(self._silent(messages) for messages in conversations):
            raise EngineError("no answer")
        return super().chat(conversations, sampling)

    @staticmethod
    def _silent(messages: list[Message]) -> bool:
        return messages[-1]["content"] == FARE


def test_a_suite_without_replies_stops_no_other(corpus: Store) -> None:
    put(corpus, advbench=[NOTE], pap=[FARE])
    wanted: list[AskedSuite] = stage.load_prompts(corpus, choose(["advbench", "pap"]))
    scored = stage.measure(Stubborn({NOTE: (REFUSES, "stop")}), corpus, wanted, None)
    assert [suite.suite for suite in scored.scores.suites] == ["advbench"] and list(scored.failed) == ["pap"]


def test_a_file_of_either_kind_is_shown_as_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nsource: me\nsuites: {xstest: {max_new_tokens: 5}}\n")
    assert type(find_any(str(path))).__name__ == "ScoringProtocol" and find_any("xstest").name == "xstest"
    path.write_text("name: mine\nsource: me\nsuites: {charm: {}}\n")
    with pytest.raises(RecipeError, match=r"mine.yaml:3: suites.charm: no such suite; shipped: "):
        find_any(str(path))


def test_the_entries_of_a_suites_codebook_are_measures_with_levels_counted_from_where_they_are_present(
    corpus: Store, tmp_path: Path
) -> None:
    put(corpus, advbench=[NOTE, FARE])
    own = OWN.replace(
        "where: text like '%note%'\nask: {max_new_tokens: 99, template: wrapped.txt, system: system.txt}",
        "codebook: principles",
    )
    (tmp_path / "own.yaml").write_text(own.replace("headline: [", "headline: [principle_honesty, "))
    measured(corpus, str(tmp_path / "own.yaml"))
    add(corpus, find_codebook("principles"))
    label(corpus, "judge:j+principles@1", principle_privacy=0.5, principle_crime=0.0, principle_honesty=1.0)
    scored, _ = measured(corpus, str(tmp_path / "own.yaml"))
    (suite,) = scored.scores.suites
    rates = {rate.measure: (rate.k, rate.n) for rate in suite.rates}
    assert suite.headline == "principle_honesty" and suite.judge.startswith("judge:j+principles")
    assert (
        rates["principle_privacy"] == (2, 2)
        and rates["principle_crime"] == (0, 2)
        and rates["principle_honesty"] == (2, 2)
    )
    assert "principle_rights" not in rates, "nobody judged it"


def test_a_headline_that_is_no_entry_of_the_codebook_is_refused(corpus: Store, tmp_path: Path) -> None:
    put(corpus, advbench=[NOTE])
    (tmp_path / "own.yaml").write_text(
        OWN.replace(
            "ask: {max_new_tokens: 99, template: wrapped.txt, system: system.txt}", "codebook: structure"
        ).replace("headline: [", "headline: [principle_honesty, ")
    )
    with pytest.raises(RecipeError, match="principle_honesty is neither"):
        measured(corpus, str(tmp_path / "own.yaml"))
