"""What of the PACS is kept on this machine's disk, and for how long."""
