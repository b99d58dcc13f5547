"""What the model is asked to do: pure functions over an ``Engine``."""
