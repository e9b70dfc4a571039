"""A shift's, day's or week's report from the history, as one HTML file to read and to print."""
