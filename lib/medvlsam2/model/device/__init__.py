"""What depends on the device: half precision, CUDA graphs and memory."""
