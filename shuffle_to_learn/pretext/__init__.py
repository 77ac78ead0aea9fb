"""The pretext task: shuffled patches, and the methods that learn from them."""
