"""Self-supervised learning from permutations via differentiable ranking, for TensorFlow.

Importing the package does not import TensorFlow; the modules that need it do.
"""
