"""What a PACS answers, read without trust."""
