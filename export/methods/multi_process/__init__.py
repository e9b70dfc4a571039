"""One method trained by several processes through torchrun."""
