"""PreSafe's safety classifier: a small BERT that learns a teacher's decision on prompts, with calibrated probabilities.

The decision may be a label (harmful or not) or a safer model's behaviour (the share of its answers that refuse). Jailbreaks
share templates, and a prompt from a known template does not test generalisation; so prompts with similar wording are always
on the same side of a split. Of a long prompt only head and tail are read: templates put the request in either.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from annotators.embedding.encoder import MODEL, load
from schemas.errors import DataError, EngineError, require
from schemas.faults import reason

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

TOKENS = 256
"""Tokens read of a prompt, including the two special tokens."""
BATCH_TOKENS = 4096
LEARNING_RATE = 5e-5
HEAD_LEARNING_RATE = 1e-3
WARM_UP = 0.1


class Decided(NamedTuple):
    """A prompt and the teacher's decision."""

    text: str
    refused: float
    """Probability that it is refused, or 1 for a harmful prompt and 0 for another."""


class Quality(BaseModel):
    """Quality of the probabilities on held-out prompts."""

    model_config = ConfigDict(extra="forbid")

    prompts: int
    auroc: float
    ece: float
    """Expected calibration error over ten bins of equal width."""
    accuracy: float
    """At a threshold of 0.5."""


class SafetyCard(BaseModel):
    """Metadata of the weights."""

    model_config = ConfigDict(extra="forbid")

    base: str = MODEL
    """The base model: a name on the hub or a folder."""
    revision: str | None = None
    """Commit or tag of the hub's repository."""
    teacher: str
    temperature: float = Field(gt=0)
    tokens: int = TOKENS
    seed: int
    epochs: int
    prompts: dict[str, int]
    """Number of prompts per part of the split."""
    families: dict[str, int]
    """Number of families per part; no family is in two."""
    before_calibration: Quality
    test: Quality
    """On families used neither for training nor for calibration."""


class SafetyClassifier:
    """A trained classifier: prompts in, probabilities of refusal out."""

    def __init__(self, model: Any, tokenizer: Any, head: Any, temperature: float) -> None:
        self._model, self._tokenizer, self._head = model, tokenizer, head
        self.temperature = temperature

    @classmethod
    def open(cls, folder: Path) -> "SafetyClassifier":
        """Load a saved classifier.

        Raises:
            MissingExtraError: if transformers is not installed.
            DataError: if the folder contains no classifier.
        """
        require("transformers", "torch", "safetensors", extra="models")
        import torch
        from safetensors.torch import load_file
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logs: Any = logging
        logs.disable_progress_bar()
        try:
            card = read_card(folder)
            options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
            model = AutoModel.from_pretrained(folder, **options).eval()
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            head = torch.nn.Linear(model.config.hidden_size, 1)
            head.load_state_dict(load_file(folder / "head.safetensors"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder}: no safety classifier here ({reason(error)}); `curate train-classifier` makes one"
            ) from error
        return cls(model, tokenizer, head, card.temperature)

    def save(self, folder: Path, card: SafetyCard) -> None:
        """Write model, tokenizer, head and card; safetensors and JSON only."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        self._model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)
        save_file(self._head.state_dict(), folder / "head.safetensors")
        (folder / "card.json").write_text(json.dumps(card.model_dump(), indent=1) + "\n", encoding="utf-8")

    def probabilities(self, prompts: Sequence[str]) -> "Array":
        """The calibrated probability that the teacher refuses each prompt; shape (prompts,)."""
        import numpy as np

        probabilities: Array = 1 / (1 + np.exp(-self.logits(prompts) / self.temperature))
        return probabilities

    def logits(self, prompts: Sequence[str]) -> "Array":
        """Uncalibrated log odds of refusal."""
        import numpy as np
        import torch

        logits = np.zeros(len(prompts))
        tokens = self.tokens(prompts)
        with torch.inference_mode():
            for numbers in batches(tokens):
                logits[numbers] = self.forward([tokens[n] for n in numbers]).cpu().numpy()
        return logits

    def tokens(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids; long prompts are truncated to head and tail."""
        if not prompts:
            return []
        cut = [clip_text(prompt) for prompt in prompts]
        encoded = self._tokenizer(cut, add_special_tokens=False, verbose=False)["input_ids"]
        start, end = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        return [[start, *head_and_tail(ids, TOKENS - 2), end] for ids in encoded]

    def forward(self, tokens: Sequence[Sequence[int]]) -> Any:
        """Log odds of a batch, as a tensor that gradients flow through."""
        import torch

        device = self._head.weight.device
        longest = max(map(len, tokens))
        ids = torch.tensor([[*row, *[self._tokenizer.pad_token_id] * (longest - len(row))] for row in tokens])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tokens])
        ids, mask = ids.to(device), mask.to(device)
        states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self._head(mean)[:, 0]

    def train(self, decided: Sequence[Decided], epochs: int, seed: int) -> Iterator[float]:
        """Fine-tune all weights; yields the loss of each step."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

        random, tokens = Random(seed), self.tokens([one.text for one in decided])  # noqa: S311
        share = sum(one.refused for one in decided) / len(decided)
        plan = [numbers for _ in range(epochs) for numbers in shuffled(batches(tokens), random)]
        descent = torch.optim.AdamW(
            [
                {"params": self._model.parameters(), "lr": LEARNING_RATE},
                {"params": self._head.parameters(), "lr": HEAD_LEARNING_RATE},
            ]
        )
        pace = torch.optim.lr_scheduler.OneCycleLR(
            descent, [LEARNING_RATE, HEAD_LEARNING_RATE], total_steps=len(plan) + 1, pct_start=WARM_UP
        )
        self._model.train()
        for numbers in plan:
            truth = torch.tensor([decided[n].refused for n in numbers], device=self._head.weight.device)
            weight = truth / (2 * share) + (1 - truth) / (2 * (1 - share))
            loss: Any = cross_entropy(self.forward([tokens[n] for n in numbers]), truth, weight=weight)
            descent.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            descent.step()
            pace.step()
            yield loss.item()
        self._model.eval()


def untrained(seed: int, base: str | None = None, revision: str | None = None) -> SafetyClassifier:
    """A BERT with a new head, on the GPU if there is one; by default the sentence encoder.

    Raises:
        EngineError: if it cannot be loaded.
    """
    import copy

    import torch

    torch.manual_seed(seed)
    model, tokenizer = _pretrained(base, revision) if base else load()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    head = torch.nn.Linear(model.config.hidden_size, 1).to(device)
    return SafetyClassifier(copy.deepcopy(model).to(device), tokenizer, head, 1.0)


def _pretrained(base: str, revision: str | None) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    try:
        model = AutoModel.from_pretrained(
            base, revision=revision, trust_remote_code=False, use_safetensors=True, dtype="float32"
        )
        tokenizer = AutoTokenizer.from_pretrained(base, revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{base}: cannot load an encoder ({error}); name a folder or a hub repository with safetensors"
        ) from error
    if None in (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id):
        raise EngineError(f"{base}: its tokenizer lacks [CLS], [SEP] or [PAD]; name a BERT-like encoder")
    return model, tokenizer


def head_and_tail(ids: Sequence[int], room: int) -> list[int]:
    """The first and last tokens, in equal number, if there are more than `room`."""
    if len(ids) <= room:
        return list(ids)
    head = room - room // 2
    return [*ids[:head], *ids[len(ids) - room // 2 :]]


def clip_text(text: str) -> str:
    """Both ends of a long text, more than enough for the tokens that are read, so that the middle is not tokenized."""
    room = TOKENS * 20
    return text if len(text) <= 2 * room else text[:room] + " " + text[-room:]


def batches(tokens: Sequence[Sequence[int]]) -> list[list[int]]:
    """Indices of prompts in batches of similar length."""
    batches: list[list[int]] = []
    for number in sorted(range(len(tokens)), key=lambda n: len(tokens[n])):
        if (
            not batches
            or (len(batches[-1]) + 1) * len(tokens[number]) > BATCH_TOKENS
            or len(batches[-1]) >= 32
        ):
            batches.append([])
        batches[-1].append(number)
    return batches


def shuffled(batches: list[list[int]], random: Random) -> list[list[int]]:
    """The batches in random order."""
    return random.sample(batches, len(batches))


def read_card(folder: Path) -> SafetyCard:
    """The card of a saved classifier; raises OSError or ValueError."""
    return SafetyCard.model_validate_json((folder / "card.json").read_text(encoding="utf-8"))
