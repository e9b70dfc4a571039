"""The training workstation: pictures of good parts in, an unsigned bundle out."""
