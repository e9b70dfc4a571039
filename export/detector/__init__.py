"""The YOLO-OBB detector: training, export and the confidence it is used at."""
