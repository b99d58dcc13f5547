"""Questions and phrases that people worded, about phantoms and real validation scans; nothing is trained on them."""
