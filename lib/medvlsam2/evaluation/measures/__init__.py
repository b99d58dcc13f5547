"""What is measured on one scan: one file for each kind of request."""
