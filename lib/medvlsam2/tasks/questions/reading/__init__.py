"""Reading of questions: what can be asked, which names a question may mean, and the query that a model writes."""
