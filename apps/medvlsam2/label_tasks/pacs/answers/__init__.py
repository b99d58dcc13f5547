"""Parsers of the answers of a PACS, which do not trust their content."""
