"""Self-supervised learning from permutations via differentiable ranking, for TensorFlow.

Importing the package is light; its modules import TensorFlow where they need it.
"""
