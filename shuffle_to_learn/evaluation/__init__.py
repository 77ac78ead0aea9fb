"""Evaluation of embeddings: probes, end-to-end training, statistics."""
