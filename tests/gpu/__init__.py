"""What only a GPU can show of the vllm backend: `make gpu-check`. Each module is one check or what several need."""
