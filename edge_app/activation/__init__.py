"""The inspection process' side of a new model: load, compare, hand over, watch."""
