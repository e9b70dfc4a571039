"""A build that learns from people's marks: what joins it, what contradicts, what it changed."""
