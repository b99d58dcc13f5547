"""Words for names beside the vocabulary: lay words, names that go on, and the correction of misspelt words."""
