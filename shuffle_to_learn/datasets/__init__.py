"""TFDS builders: rendered datasets, public datasets, and folders of a user's files."""
