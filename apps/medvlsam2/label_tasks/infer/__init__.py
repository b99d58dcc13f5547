"""The infer tasks of the host: from a request to a mask or a text."""
