"""Designs for the embedding annotator side by side, on the dev part only: F1 per pattern on batches left out.

Every design gives each trace a logit per pattern from a model that has not seen its batch; the threshold comes from the other
batches as well. Only what won is in `annotators/embedding`; what lost lives here, as small as it can be. Takes some forty minutes.

    python -m benchmarks designs
"""

import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from annotators.benchmark import load
from annotators.embedding import encoder
from annotators.embedding.annotating import decide, is_harmful, sentences_of
from annotators.embedding.deciding import INPUTS, best_threshold, cross_validated, trace_features
from annotators.embedding.examples import Example, folds, prepare
from annotators.embedding.heads import REASONING_TRAITS, Decision, Scored, sigmoid, whole
from annotators.embedding.training import out_of_fold
from schemas.patterns import RISKY_PATTERNS

Array = Any
Fit = Callable[[Sequence[Example], Sequence[Example], str], Array]
"""Seen and unseen examples and a pattern: logits of the unseen ones."""
SEED = 0


def mean(vectors: Array) -> Array:
    """The mean sentence; zeros where there is none."""
    return vectors.mean(0) if len(vectors) else np.zeros(vectors.shape[1], dtype=np.float32)


def logistic(x: Array, y: Array, new: Array, strength: float = 0.03) -> Array:
    """Logits of a balanced logistic regression."""
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=500)
    return make_pipeline(StandardScaler(), model).fit(x, y).decision_function(new)


def by_vectors(vector: Callable[[Example], Array], strength: float = 0.03) -> Fit:
    """A design that is one vector per trace and a logistic regression."""

    def fit(seen: Sequence[Example], unseen: Sequence[Example], pattern: str) -> Array:
        y = np.array([e.item.labels[pattern] for e in seen])
        return logistic(
            np.array([vector(e) for e in seen]), y, np.array([vector(e) for e in unseen]), strength
        )

    return fit


def by_inputs(examples: Sequence[Example], unseen: Sequence[Scored], part: str) -> Fit:
    """Of what the shipped decisions look at, only the sentences' part or only the whole's."""
    rows = {e.item.trace.trace_id: trace_features(e, s) for e, s in zip(examples, unseen, strict=True)}
    sentences = {name: inputs[1:] for name, inputs in INPUTS.items()}
    sentences["inconsistency"] = ("reasoning_refusal", "answer_refusal")

    def fit(seen: Sequence[Example], held: Sequence[Example], pattern: str) -> Array:
        names = sentences[pattern] if part == "sentences" else INPUTS[pattern][:1]
        design = by_vectors(lambda e: np.array([rows[e.item.trace.trace_id][name] for name in names]), 0.3)
        return design(seen, held, pattern)

    return fit


def pair(example: Example) -> Array:
    """Conclusion and answer as natural language inference has premise and hypothesis: both, difference, product."""
    conclusion, answer = mean(example.reasoning[-3:]), mean(example.answer)
    return np.r_[conclusion, answer, np.abs(conclusion - answer), conclusion * answer]


def tagging(seen: Sequence[Example], unseen: Sequence[Example], pattern: str) -> Array:
    """A two-way GRU over the sentences of the reasoning; tags against evidence, their log-sum-exp against the label."""
    torch.manual_seed(SEED)
    if pattern not in REASONING_TRAITS:
        return by_vectors(pair)(seen, unseen, pattern)
    trait = REASONING_TRAITS.index(pattern)
    width = seen[0].reasoning.shape[1]
    shrink, gru, tag = (
        torch.nn.Linear(width, 64),
        torch.nn.GRU(64, 32, bidirectional=True),
        torch.nn.Linear(64, 1),
    )
    parts = torch.nn.ModuleList([shrink, gru, tag])
    descent = torch.optim.AdamW(parts.parameters(), lr=3e-3, weight_decay=0.05)
    y = torch.tensor([float(e.item.labels[pattern]) for e in seen])
    rarity = (len(y) - y.sum()) / y.sum()

    def tags(examples: Sequence[Example], train: bool) -> tuple[Any, Any]:
        rows = [torch.tensor(e.reasoning) for e in examples]
        padded = torch.nn.utils.rnn.pad_sequence(rows)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row)) for row in rows])
        states = torch.nn.functional.dropout(shrink(padded * width**0.5 / 2), 0.4, train)
        return tag(gru(states)[0])[..., 0].masked_fill(mask == 0, -1e4), mask

    shown = torch.nn.utils.rnn.pad_sequence([torch.tensor(e.shown[:, trait]) for e in seen])
    known = torch.nn.utils.rnn.pad_sequence([torch.tensor(e.known[:, trait]) for e in seen])
    for _ in range(40):
        z, _ = tags(seen, True)
        loss = cross_entropy(z.logsumexp(0), y, weight=1 + (rarity - 1) * y)
        loss = loss + cross_entropy(z, shown, weight=known * (1 + 7 * shown), reduction="sum") / known.sum()
        descent.zero_grad()
        loss.backward()
        descent.step()
    with torch.no_grad():
        return tags(unseen, False)[0].logsumexp(0).numpy()


class Tuned(encoder.Encoder):
    """The encoder with other weights."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @property
    def _parts(self) -> tuple[Any, Any]:
        return self.model, encoder.load()[1]


def contrasted(seen: Sequence[Example]) -> Tuned:
    """MiniLM tuned so that evidence of one pattern is alike and unlike all else (supervised contrastive, arXiv 2004.11362)."""
    torch.manual_seed(SEED)
    kinds: list[tuple[str, int]] = []
    for e in seen:
        shown = e.shown[:, :3]
        for sentence, row in zip(sentences_of(e.item.trace.reasoning), shown, strict=True):
            if row.any():
                kinds.append((sentence, int(row.argmax())))
            elif not any(e.item.labels[name] for name in RISKY_PATTERNS) and is_harmful(e.item.trace):
                kinds.append((sentence, 3))
    random = Random(SEED)
    model, tokenizer = copy.deepcopy(encoder.load()[0]), encoder.load()[1]
    model.encoder.layer = model.encoder.layer[: max(encoder.LAYERS)]
    descent = torch.optim.AdamW(model.parameters(), lr=3e-5)
    evidence, other = [k for k in kinds if k[1] < 3], [k for k in kinds if k[1] == 3]
    random.shuffle(evidence)
    model.train()
    for start in range(0, 3 * len(evidence), 24):
        batch = (evidence * 3)[start : start + 24]
        some = [*batch, *random.sample(other, min(12, len(other)))]
        ids = tokenizer(
            [text for text, _ in some], padding=True, truncation=True, max_length=64, return_tensors="pt"
        )
        states = model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).last_hidden_state
        mask = ids["attention_mask"][..., None]
        v = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
        kind = torch.tensor([k for _, k in some])
        same = (kind[:, None] == kind) & ~torch.eye(len(some), dtype=torch.bool)
        near = (v @ v.T / 0.1).masked_fill(torch.eye(len(some), dtype=torch.bool), -1e4)
        loss = -(near.log_softmax(1) * same).sum(1) / same.sum(1).clamp(min=1)
        descent.zero_grad()
        loss.mean().backward()
        descent.step()
    return Tuned(model.eval())


def logits_of(fit: Fit, examples: Sequence[Example]) -> dict[str, Array]:
    """Logits of every trace under models that have not seen its topic."""
    found = {name: np.zeros(len(examples)) for name in RISKY_PATTERNS}
    for seen, held in folds(examples):
        for name in RISKY_PATTERNS:
            found[name][held] = fit([examples[n] for n in seen], [examples[n] for n in held], name)
    return found


def contrastive(examples: Sequence[Example]) -> dict[str, Array]:
    """The whole trace, from sentence vectors tuned on the other batches; tuned three times only, each takes minutes."""
    batches = sorted({e.item.batch for e in examples})
    found = {name: np.zeros(len(examples)) for name in RISKY_PATTERNS}
    for third in range(3):
        out = set(batches[third::3])
        held = [n for n, e in enumerate(examples) if e.item.batch in out]
        seen = [n for n, e in enumerate(examples) if e.item.batch not in out]
        tuned = prepare([e.item for e in examples], contrasted([examples[n] for n in seen]))
        for name in RISKY_PATTERNS:
            found[name][held] = by_vectors(traced, 0.003)(
                [tuned[n] for n in seen], [tuned[n] for n in held], name
            )
    return found


def traced(example: Example) -> Array:
    """The vector of the shipped head."""
    return whole(example.reasoning, example.answer)


def f1(examples: Sequence[Example], logits: dict[str, Array]) -> dict[str, float]:
    """F1 per pattern under the codebook's exclusions, thresholds from other topics."""
    likely = [
        {name: sigmoid(float(logits[name][n])) for name in RISKY_PATTERNS} for n in range(len(examples))
    ]
    counts = {name: [0, 0, 0] for name in RISKY_PATTERNS}
    for seen, held in folds(examples):
        bars = {
            name: Decision(
                weights={},
                bias=0.0,
                threshold=best_threshold(
                    [likely[n][name] for n in seen], [examples[n].item.labels[name] for n in seen]
                ),
            )
            for name in RISKY_PATTERNS
        }
        for n in held:
            for name, said in decide(bars, examples[n].item.trace, likely[n]).items():
                true = examples[n].item.labels[name]
                counts[name][0 if said and true else 1 if said else 2] += said or true
    return {name: 2 * h / max(1, 2 * h + a + m) for name, (h, a, m) in counts.items()}


def main() -> dict[str, dict[str, float]]:
    """Measure and return F1 per design and pattern."""
    examples = prepare(load("dev"))
    figures = {}

    def show(design: str, scores: dict[str, float]) -> None:
        figures[design] = {**scores, "macro": sum(scores.values()) / len(scores)}
        print(
            f"{design:28}" + "".join(f" {100 * value:4.0f}" for value in figures[design].values()), flush=True
        )

    print(" " * 28 + " lack strg weak adds inco macro")
    unseen = out_of_fold(examples)
    for kind in ("embedding", "ensemble"):
        found = cross_validated(kind, examples, unseen)
        show(kind, {name: score["f1"] for name, score in found.items()})
    show("sentences alone", f1(examples, logits_of(by_inputs(examples, unseen, "sentences"), examples)))
    show("whole alone", f1(examples, logits_of(by_inputs(examples, unseen, "whole"), examples)))
    show("conclusion-answer pair", f1(examples, logits_of(by_vectors(pair, 0.003), examples)))
    show("sequence tagging", f1(examples, logits_of(tagging, examples)))
    show("contrastive, whole", f1(examples, contrastive(examples)))
    print(json.dumps({"benchmark": "designs", **figures}))
    return figures


if __name__ == "__main__":
    main()
