"""The live page: reads copies, never stands in the inspection path."""
