"""What a folder of pictures holds, and what a build would make of it, before one is started."""
