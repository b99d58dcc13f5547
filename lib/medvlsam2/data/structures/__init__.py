"""The table of structures: names, codes, colours."""
