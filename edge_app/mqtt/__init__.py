"""Alerts on their way to people: messages, topics, the outbox on disk and the publisher."""
