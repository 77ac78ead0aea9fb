"""What networks see: log-mel spectrograms, frames of clips, square pictures."""
