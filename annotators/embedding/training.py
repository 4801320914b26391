"""Fits the heads on the labelled set, and the decisions above them; `curate train-annotator` runs it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotators.benchmark import load
from annotators.embedding.deciding import cross_validated, decisions
from annotators.embedding.encoder import LAYERS, MODEL
from annotators.embedding.examples import Example, folds, prepare
from annotators.embedding.heads import (
    ANSWER_TRAITS,
    REASONING_TRAITS,
    THIRDS,
    WHOLE_TRAITS,
    Card,
    Heads,
    Scored,
    save,
    scored,
    whole,
)
from schemas.patterns import CODEBOOK_VERSION

if TYPE_CHECKING:
    from annotators.embedding.heads import Array

NAME = "3"
COMMAND = "curate train-annotator"
DECAY = 0.01
STEPS = 100
STRENGTH = 0.003
"""Inverse of the regularisation of the whole: thousands of numbers, hundreds of traces."""
HEAVIEST = 8.0
"""A rare trait weighs at most so much more than its absence."""


def train(folder: Path, examples: Sequence[Example] | None = None) -> Card:
    """Fit everything on the dev split and write it to a folder."""
    examples = examples or prepare(load("dev"))
    unseen = out_of_fold(examples)
    card = Card(
        name=NAME,
        command=COMMAND,
        encoder=MODEL,
        layers=list(LAYERS),
        codebook=CODEBOOK_VERSION,
        traces=len(examples),
        topics=len({example.item.topic for example in examples}),
        decisions={kind: decisions(kind, examples, unseen) for kind in ("embedding", "ensemble")},
        cross_validated={kind: cross_validated(kind, examples, unseen) for kind in ("embedding", "ensemble")},
    )
    save(folder, fit(examples), card)
    return card


def out_of_fold(examples: Sequence[Example]) -> list[Scored]:
    """Each trace under heads that have not seen its batch."""
    found: dict[int, Scored] = {}
    for seen, unseen in folds(examples):
        heads = fit([examples[number] for number in seen])
        for number in unseen:
            found[number] = scored(heads, examples[number].reasoning, examples[number].answer)
    return [found[number] for number in range(len(examples))]


def fit(examples: Sequence[Example]) -> Heads:
    """The heads for both fields."""
    import numpy as np

    truth = np.array([[e.item.labels[trait] for trait in REASONING_TRAITS] for e in examples])
    reasoning = _fit(
        [e.reasoning for e in examples], truth, [e.shown for e in examples], [e.known for e in examples]
    )
    refused = np.array([[e.item.labels[trait] for trait in ANSWER_TRAITS] for e in examples])
    nothing = [np.zeros((len(e.answer), len(ANSWER_TRAITS)), dtype=np.float32) for e in examples]
    return Heads(
        reasoning, _fit([e.answer for e in examples], refused, nothing, nothing), _fit_whole(examples)
    )


def _fit_whole(examples: Sequence[Example]) -> "tuple[Array, Array]":
    """A strongly regularised logistic regression per trait, on the field that the trait is about; inconsistency is about both."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    every = np.array([whole(e.reasoning, e.answer) for e in examples])
    answer = every.shape[1] // (THIRDS + 1) * THIRDS
    weight = np.zeros((every.shape[1], len(WHOLE_TRAITS)), dtype=np.float32)
    bias = np.zeros(len(WHOLE_TRAITS), dtype=np.float32)
    fields = {"inconsistency": slice(None), "answer_refusal": slice(answer, None)}
    for number, name in enumerate(WHOLE_TRAITS):
        field = fields.get(name, slice(0, answer))
        x = every[:, field]
        mean, scale = x.mean(0), x.std(0) + 1e-3
        truth = [e.item.labels[name] for e in examples]
        model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=300)
        model.fit((x - mean) / scale, truth)
        weight[field, number] = model.coef_[0] / scale
        bias[number] = model.intercept_[0] - mean @ weight[field, number]
    return weight, bias


def _fit(
    vectors: "Sequence[Array]", truth: "Array", shown: "Sequence[Array]", known: "Sequence[Array]"
) -> "tuple[Array, Array]":
    """One linear head: sentences against the written evidence where there is some, pooled sentences against the label."""
    import numpy as np
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

    every = np.concatenate(vectors)
    mean, scale = every.mean(0), every.std(0) + 1e-3
    x = torch.tensor((every - mean) / scale)
    owner = torch.tensor(np.repeat(np.arange(len(vectors)), [len(v) for v in vectors]))
    s, k, y = (
        torch.tensor(np.concatenate(shown)),
        torch.tensor(np.concatenate(known)),
        torch.tensor(truth).float(),
    )
    by_sentence, by_trace = k * _balance(s, k), _balance(y, torch.ones_like(y))
    weight = torch.zeros(x.shape[1], y.shape[1], requires_grad=True)
    bias = torch.zeros(y.shape[1], requires_grad=True)
    descent = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        descent.zero_grad()
        z = x @ weight + bias
        pooled = torch.zeros_like(y).index_add(0, owner, torch.exp(z.clamp(-20, 20))).add(1e-9).log()
        total = cross_entropy(pooled, y, weight=by_trace / by_trace.sum() * y.shape[1], reduction="sum")
        total = total + DECAY * (weight**2).sum()
        if by_sentence.sum() > 0:
            total = total + cross_entropy(
                z, s, weight=by_sentence / by_sentence.sum() * y.shape[1], reduction="sum"
            )
        total.backward()  # type: ignore[no-untyped-call]
        return total

    descent.step(loss)  # type: ignore[no-untyped-call]
    w = weight.detach().numpy() / scale[:, None]
    return w.astype(np.float32), (bias.detach().numpy() - mean @ w).astype(np.float32)


def _balance(truth: Any, known: Any) -> Any:
    """Weights that make a rare trait count, within reason."""
    rarity = (((1 - truth) * known).sum(0) / ((truth * known).sum(0) + 1)).clip(0.2, HEAVIEST)
    return 1 + (rarity - 1) * truth
