"""Oriented boxes without a person: segmentation, part shape, and the rules between them."""
