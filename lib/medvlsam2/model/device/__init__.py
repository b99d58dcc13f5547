"""Code that depends on the device: half precision, CUDA graphs and memory limits."""
