"""Datasets: TFDS builders of rendered, public and a user's own inputs."""
