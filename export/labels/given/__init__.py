"""A person's labels, from YOLO, CVAT and labelme: whose they are, and what they say."""
