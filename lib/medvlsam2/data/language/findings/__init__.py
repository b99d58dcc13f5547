"""Words for findings: their nouns, the structures that can hold them, and their keys in the vocabulary."""
