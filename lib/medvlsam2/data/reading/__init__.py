"""Reading of scans: file names, kinds of scan, causes of failure, memory and sizes; the formats have folders below."""
