"""What an embedding is worth: probes, end-to-end training, statistics."""
