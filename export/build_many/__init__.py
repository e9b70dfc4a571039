"""One bundle for each product of a folder, several at once."""
