"""The context-free network and its embedding."""
