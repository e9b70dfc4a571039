"""Alerts on their way to people: messages, outbox, publisher."""
