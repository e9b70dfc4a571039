"""The simulated factory line: products, defects, belt, light, and their ground truth."""
