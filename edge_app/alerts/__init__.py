"""Alarm events on their way out of the line: the outbox and the evidence pictures."""
