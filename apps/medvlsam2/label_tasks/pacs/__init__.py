"""Studies in a PACS: what the server asks of it over DICOMweb, what it keeps of it, and what it sends to it."""
