"""The folder of images that the service keeps, for the service and for `label.py`."""
