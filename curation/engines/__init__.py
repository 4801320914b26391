"""Inference engines and their common protocol."""

from curation.engines.base import Engine, FinishReason, Message, Reply, Sampling, take_apart

__all__ = ["Engine", "FinishReason", "Message", "Reply", "Sampling", "take_apart"]
