"""What a text claims of a scan, and whether facts or masks support it; no part of the writer of texts is asked."""
