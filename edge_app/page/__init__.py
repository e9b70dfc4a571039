"""The live page: reads copies and is never in the inspection path."""
