"""People, their roles and passwords, tokens of programs, and who is logged in."""
