"""Words of answers: sentences, short answers, choices, and how a question was understood."""
