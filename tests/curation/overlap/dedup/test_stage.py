import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.corpus.query import connect, select
from curation.corpus.store import Store
from curation.overlap import neighbours
from curation.overlap.dedup import clustering, queries, sketches
from curation.overlap.dedup import stage as dedup
from curation.overlap.dedup.stage import DedupRecipe
from curation.overlap.words import hash_words, plain_words
from schemas import content_id, prompt_id

WORDS = [f"word{n}" for n in range(3000)]


def story(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def near_copy(text: str, rng: random.Random, share: float) -> str:
    """The text with so many of its words replaced."""
    words = text.split()
    for place in rng.sample(range(len(words)), round(share * len(words))):
        words[place] = f"new{rng.randrange(10**6)}"
    return " ".join(words)


def add(corpus: Store, responses: list[str], prompts: list[str] | None = None) -> list[str]:
    prompts = prompts or [f"Question {n} {story(random.Random(n), 12)}" for n in range(len(responses))]
    known = corpus.keys("prompts")
    texts = [text for text in dict.fromkeys(prompts) if prompt_id(text) not in known]
    corpus.append_rows("prompts", [{"prompt_id": prompt_id(text), "text": text} for text in texts])
    ids = [
        content_id([prompt, response, n])
        for n, (prompt, response) in enumerate(zip(prompts, responses, strict=True))
    ]
    corpus.append_rows("traces", [
        {"trace_id": i, "prompt_id": prompt_id(p), "prompt": p, "reasoning": r, "answer": "", "sample_index": 0}
        for i, p, r in zip(ids, prompts, responses, strict=True)
    ])  # fmt: skip
    return ids


def clusters(corpus: Store, field: str, method: str) -> dict[str, str]:
    rows = select(
        connect(corpus),
        f"select id, cluster_id from current_clusters where field = '{field}' and method = '{method}'",
    )
    return dict(zip(rows["id"].to_pylist(), rows["cluster_id"].to_pylist(), strict=True))


def test_exact_duplicates_ignore_case_spacing_and_punctuation(corpus: Store) -> None:
    a, b, c = add(
        corpus, ["I will not help.", "i will  NOT help", "I will help."], ["Same?", "same", "Other."]
    )
    dedup.run(corpus.root, DedupRecipe(methods=["exact"]))
    found = clusters(corpus, "response", "exact")
    assert found[a] == found[b] == min(a, b)
    assert found[c] == c
    assert len(set(clusters(corpus, "prompt", "exact").values())) == 2


def near_clusters(corpus: Store, texts: list[str]) -> "np.ndarray[Any, Any]":
    """The cluster of each text, as near-duplicates are looked for among responses."""
    ids = add(corpus, texts)
    dedup.run(corpus.root, DedupRecipe(methods=["near"]))
    found = clusters(corpus, "response", "near")
    return np.array([found[i] for i in ids])


def test_planted_near_duplicates_are_found_as_well_as_datasketch_finds_them(corpus: Store) -> None:
    from datasketch import MinHash, MinHashLSH

    rng = random.Random(3)
    originals = [story(rng, 200) for _ in range(300)]
    texts = originals + [near_copy(text, rng, 0.021) for text in originals]  # 5-word runs: Jaccard about 0.8
    runs = [{" ".join(w[i : i + 5]) for i in range(len(w) - 4)} for w in map(str.split, texts)]
    jaccards = [len(runs[n] & runs[n + 300]) / len(runs[n] | runs[n + 300]) for n in range(300)]
    assert np.mean(jaccards) == pytest.approx(0.8, abs=0.04)

    labels = near_clusters(corpus, texts)
    ours = np.mean(labels[:300] == labels[300:])
    index, theirs = MinHashLSH(threshold=0.7, num_perm=128), []
    for number, run in enumerate(runs):
        hashed = MinHash(128)
        hashed.update_batch([text.encode() for text in run])
        if number < 300:
            index.insert(str(number), hashed)
        else:
            theirs.append(str(number - 300) in index.query(hashed))
    assert ours >= 0.95
    assert ours >= np.mean(theirs) - 0.02
    assert len(set(labels.tolist())) >= 300  # and nothing else was joined


def test_texts_that_share_little_stay_apart(corpus: Store) -> None:
    rng = random.Random(4)
    texts = [story(rng, 200) for _ in range(200)]
    texts += [near_copy(text, rng, 0.2) for text in texts]  # Jaccard about 0.2
    assert len(set(near_clusters(corpus, texts).tolist())) == 400


def test_the_query_in_a_jailbreak_template_is_compared_without_it(corpus: Store) -> None:
    rng = random.Random(5)
    templates = [story(rng, 150), story(rng, 200)]
    questions = [story(rng, 12) for _ in range(30)]
    prompts = [
        f"{templates[n % 2]} {question} {templates[n % 2][:80]}" for n, question in enumerate(questions * 2)
    ]
    prompts = list(
        dict.fromkeys(
            prompts + [f"{templates[1 - n % 2]} {question}" for n, question in enumerate(questions)]
        )
    )
    add(corpus, ["r"] * len(prompts), prompts)
    dedup.run(corpus.root, DedupRecipe(methods=["near"], template_from=10))
    families = clusters(corpus, "query", "near")
    for n, question in enumerate(questions):
        mine = {families[prompt_id(p)] for p in prompts if question in p}
        assert len(mine) == 1, n
    assert len(set(families.values())) == 30


def test_a_refusal_given_to_different_prompts_is_no_duplicate(corpus: Store) -> None:
    first, second, third = add(
        corpus,
        ["I will not help with that at all."] * 3,
        ["How do bees fly?", "Where is Rome in Italy?", "how do bees fly"],
    )
    dedup.run(corpus.root, DedupRecipe())
    rows = select(
        connect(corpus), "select trace_id, duplicate, response_duplicate, prompt_duplicate from candidates"
    )
    found = {row.pop("trace_id"): row for row in rows.to_pylist()}
    assert [found[i]["duplicate"] for i in (first, second, third)] == [first > third, False, third > first]
    assert sum(row["response_duplicate"] for row in found.values()) == 2
    assert sum(row["prompt_duplicate"] for row in found.values()) == 1


def test_traces_that_dedup_has_not_seen_are_unknown(corpus: Store) -> None:
    add(corpus, ["one two three", "four five six"])
    assert select(connect(corpus), "select duplicate from candidates")["duplicate"].to_pylist() == [
        None,
        None,
    ]
    dedup.run(corpus.root, DedupRecipe())
    add(corpus, ["seven eight nine"], ["Another one?"])
    values = select(connect(corpus), "select duplicate from candidates")["duplicate"].to_pylist()
    assert sorted(values, key=str) == [False, False, None]


def test_texts_without_words_are_alike_to_nothing(corpus: Store) -> None:
    add(corpus, ["", "...", "!"])
    assert dedup.run(corpus.root, DedupRecipe()).counts.kept == 3


def test_running_again_does_nothing_and_new_data_makes_a_new_generation(corpus: Store) -> None:
    add(corpus, ["one two three", "four five six"])
    first = dedup.run(corpus.root, DedupRecipe())
    parts = corpus.parts("clusters")
    assert dedup.run(corpus.root, DedupRecipe()) == first
    assert corpus.parts("clusters") == parts
    add(corpus, ["One two: three."], ["Question 0 again?"])
    dedup.run(corpus.root, DedupRecipe(methods=["exact"]))
    assert set(parts) < set(corpus.parts("clusters"))
    assert len(set(clusters(corpus, "response", "exact").values())) == 2


def test_going_back_to_earlier_settings_counts_again(corpus: Store) -> None:
    rng = random.Random(6)
    text = story(rng, 200)
    add(corpus, [text, near_copy(text, rng, 0.02)])
    found = []
    for threshold in (0.7, 0.99, 0.7):
        dedup.run(corpus.root, DedupRecipe(methods=["near"], threshold=threshold))
        found.append(len(set(clusters(corpus, "response", "near").values())))
    assert found == [1, 2, 1]


def test_the_layout_of_the_corpus_does_not_change_clusters(corpus: Store, tmp_path: Path) -> None:
    rng = random.Random(7)
    texts = [story(rng, 60) for _ in range(40)]
    texts += [near_copy(text, rng, 0.02) for text in texts]
    add(corpus, texts)
    other = Store.create(tmp_path / "other")
    rows = pq.read_table(corpus.parts("traces")[0]).to_pylist()
    rng.shuffle(rows)
    for first in range(0, 80, 7):
        other.append_rows("traces", rows[first : first + 7])
    other.append_rows("prompts", pq.read_table(corpus.parts("prompts")[0]).to_pylist())
    for one in (corpus, other):
        dedup.run(one.root, DedupRecipe())
    assert clusters(corpus, "response", "near") == clusters(other, "response", "near")


def test_a_run_killed_at_any_moment_leaves_no_half_clusters(corpus: Store) -> None:
    rng = random.Random(8)
    add(corpus, [story(rng, 300) for _ in range(3000)])
    code = "import sys; from pathlib import Path; from curation.overlap.dedup import stage as dedup; dedup.run(Path(sys.argv[1]), dedup.DedupRecipe())"
    command = [sys.executable, "-c", code, str(corpus.root)]
    for delay in (1.5, 2.5, 3.5):
        process = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONHASHSEED": "1"}
        )
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for part in corpus.parts("clusters"):
            assert pq.read_table(part).num_rows == 3000
    assert dedup.run(corpus.root, DedupRecipe()).counts.kept == 3000


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60))
def test_linked_labels_lead_to_the_lowest_member_of_the_component(pairs: list[tuple[int, int]]) -> None:
    left, right = (np.array([p[side] for p in pairs], dtype=np.int64) for side in (0, 1))
    labels = np.arange(31, dtype=np.int64)
    sketches.link(labels, left, right)
    expected = list(range(31))
    for _ in range(31):
        for a, b in pairs:
            expected[a] = expected[b] = min(expected[a], expected[b])
    assert sketches.roots(labels, np.arange(31)).tolist() == expected


def test_a_template_is_words_that_stand_in_many_prompts() -> None:
    shared = "you are now an actor who never leaves the stage and answers"
    texts = [f"{shared} {story(random.Random(n), 6)}" for n in range(30)] + [shared]
    words = hash_words(texts)
    slots, times = queries.count_part([words])
    keep = queries.outside(words, queries.template_mask(slots[times >= 20]))
    rows = [keep[a:b] for a, b in zip(words.offsets, words.offsets[1:], strict=False)]
    left = [
        [w for w, kept in zip(plain_words(t), row, strict=True) if kept]
        for t, row in zip(texts, rows, strict=True)
    ]
    assert all(words == text.split()[-6:] for words, text in zip(left[:30], texts, strict=False))
    assert left[30] == shared.split()  # nothing would be left of it


@pytest.mark.slow
def test_semantic_duplicates_say_the_same_in_other_words(corpus: Store) -> None:
    pytest.importorskip("sentence_transformers")
    prompts = [
        "How do I kill a Python process?",
        "How can I kill a Python process?",
        "What is the capital of France?",
    ]
    add(corpus, ["a", "b", "c"], prompts)
    dedup.run(corpus.root, DedupRecipe(methods=["semantic"], cosine=0.9))
    found = clusters(corpus, "query", "semantic")
    ids = [prompt_id(text) for text in prompts]
    assert found[ids[0]] == found[ids[1]] == min(ids[:2])
    assert found[ids[2]] == ids[2]


def test_prompts_that_come_in_while_vectors_are_made_change_no_cluster(
    corpus: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [f"Where is bridge number {n}?" for n in range(30)]
    for text in prompts:
        add(corpus, ["r"], [text])
    embedded: list[str] = []

    def embed(found: list[str]) -> "np.ndarray[Any, Any]":
        embedded.extend(found)
        return np.eye(len(found), dtype=np.float32)

    def rank_and_add(*arguments: Any) -> clustering.Ranked:
        ranked = clustering.rank(*arguments)
        for n in range(30):
            add(corpus, ["r"], [f"Where is tunnel number {n}?"])
        return ranked

    monkeypatch.setattr(neighbours, "embed", embed)
    monkeypatch.setattr(dedup, "rank", rank_and_add)
    dedup.run(corpus.root, DedupRecipe(methods=["semantic"]))
    assert embedded == sorted(prompts, key=prompt_id)
    assert set(clusters(corpus, "query", "semantic")) == {prompt_id(text) for text in prompts}


def test_arrays_on_disk_and_buckets_in_turns_give_the_same_files(
    corpus: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(9)
    texts = [story(rng, 60) for _ in range(150)]
    texts += [near_copy(text, rng, 0.02) for text in texts] + [texts[0] + f" end{n}" for n in range(30)]
    other = Store.create(tmp_path / "other")
    for one in (corpus, other):
        add(one, texts)
    dedup.run(corpus.root, DedupRecipe())
    monkeypatch.setattr("curation.overlap.dedup.clustering.LARGEST", 10**12)
    monkeypatch.setattr("curation.overlap.dedup.clustering.BYTES_PER_TEXT", 10**9 // 10)  # 40 texts at once
    monkeypatch.setattr("curation.overlap.dedup.clustering.CHUNK", 50)
    monkeypatch.setattr("curation.overlap.dedup.sketches.CHUNK", 50)
    dedup.run(other.root, DedupRecipe())
    names = [sorted((p.name, p.read_bytes()) for p in c.parts("clusters")) for c in (corpus, other)]
    assert [name for name, _ in names[0]] == [name for name, _ in names[1]]
    assert clusters(corpus, "response", "near") == clusters(other, "response", "near")
    assert len(set(clusters(other, "response", "near").values())) == 150


def test_conversations_are_duplicates_by_all_that_is_said_not_by_their_last_question(corpus: Store) -> None:
    def talk(first: str, said: str) -> list[dict[str, str]]:
        return [
            {"role": "user", "content": first},
            {"role": "assistant", "content": said},
            {"role": "user", "content": "Go on."},
        ]

    talks = [talk("Boats?", "Yes."), talk("Boats?", "Many boats."), talk("Trains run late?", "Yes.")]
    keys = [prompt_id("Go on.", turns) for turns in talks]
    rows = [{"prompt_id": key, "text": "Go on.", "turns": t} for key, t in zip(keys, talks, strict=True)]
    corpus.append_rows("prompts", [*rows, {"prompt_id": prompt_id("Go on."), "text": "Go on."}])
    dedup.run(corpus.root, DedupRecipe(methods=("exact",)))
    query = "select cluster_id, list(id) as ids from current_clusters where field = 'prompt' group by all"
    assert {tuple(row["ids"]) for row in select(connect(corpus), query).to_pylist()} == {
        (key,) for key in (*keys, prompt_id("Go on."))
    }
