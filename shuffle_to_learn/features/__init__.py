"""The inputs of the networks: log-mel spectrograms, frames of clips, square pictures."""
