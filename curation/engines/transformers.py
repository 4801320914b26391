"""An engine on Hugging Face `generate`: slow beside vLLM, but it runs wherever torch does.

Prompts are sorted by length and padded on the left. With sampling, the seed of a batch covers its prompts, so the same
batch gives the same replies; a prompt asked in another batch may be answered otherwise.
"""

from collections.abc import Sequence
from typing import Any

from curation import console
from curation.engines.base import Message, Reply, Sampling, take_apart
from curation.engines.hardware import precision, saved_dtype, use_threads
from curation.engines.prompting import Rendered, render
from curation.engines.weights import fingerprint, load_model, load_tokenizer, locate
from schemas.choices import Dtype
from schemas.ids import content_id

BATCH = 32
"""Conversations answered at once."""


class TransformersEngine:
    """Answers with a model in this process, on the accelerator if there is one."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.name = name
        self._model = model.eval()
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, model: str, revision: str | None = None, dtype: Dtype = "auto") -> "TransformersEngine":
        """Load a model folder, a run folder of `sft run`, or a hub model; raises as `locate` and `load_model` do."""
        weights = locate(model, revision)
        tokenizer = load_tokenizer(weights)
        import torch

        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        base = locate(weights.adapter_base) if weights.adapter_base else weights
        chosen = precision(dtype, accelerator is not None, saved_dtype(base.folder))
        loaded = load_model(weights, chosen.dtype).to(accelerator or "cpu")
        if not accelerator:
            use_threads(loaded.num_parameters(), chosen)
        return cls(loaded, tokenizer, f"{weights.name}@{fingerprint(weights)}")

    def chat(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """Answer each conversation, in order."""
        prompts = [render(self._tokenizer, messages, sampling.continues) for messages in conversations]
        by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i].ids))
        replies: dict[int, Reply] = {}
        with console.progress("generate", total=len(prompts), unit="prompts") as advance:
            for start in range(0, len(by_length), BATCH):
                chosen = by_length[start : start + BATCH]
                answered = self._answer([prompts[i] for i in chosen], sampling)
                replies.update(zip(chosen, answered, strict=True))
                advance(len(chosen))
        return [replies[i] for i in range(len(prompts))]

    def _answer(self, prompts: Sequence[Rendered], sampling: Sampling) -> list[Reply]:
        import torch

        stops = self._stop_tokens()
        pad = stops[0] if self._tokenizer.pad_token_id is None else self._tokenizer.pad_token_id
        width = max(len(ids) for ids, _ in prompts)
        device = self._model.device
        inputs = torch.tensor([[pad] * (width - len(ids)) + ids for ids, _ in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids, _ in prompts], device=device)
        how: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if sampling.temperature > 0:
            how = {
                "do_sample": True,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": 0,
            }
            torch.manual_seed(int(content_id([sampling.seed, [ids for ids, _ in prompts]])[:12], 16))
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=inputs,
                attention_mask=mask,
                max_new_tokens=sampling.max_new_tokens,
                eos_token_id=stops,
                pad_token_id=pad,
                **how,
            )
        written = output[:, width:].tolist()
        return [self._reply(prompt, ids, stops) for prompt, ids in zip(prompts, written, strict=True)]

    def _reply(self, prompt: Rendered, ids: list[int], stops: Sequence[int]) -> Reply:
        end = next((i for i, token in enumerate(ids) if token in stops), None)
        # Special tokens stay in the text: some tokenizers mark the think tags as special, and without them the
        # boundary between reasoning and answer would be gone.
        text = self._tokenizer.decode(
            ids[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        finish = "length" if end is None else "stop"
        return take_apart(prompt.lead + text, finish, len(prompt.ids), self._count)

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def _stop_tokens(self) -> list[int]:
        configured = self._model.generation_config.eos_token_id
        eos_tokens = configured if isinstance(configured, list) else [configured]
        return list(
            dict.fromkeys(token for token in (self._tokenizer.eos_token_id, *eos_tokens) if token is not None)
        )
