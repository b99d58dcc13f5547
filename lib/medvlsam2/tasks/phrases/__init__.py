"""Analysis of phrases: the objects that a phrase names, their side and organ, and phrases that are not clear."""
