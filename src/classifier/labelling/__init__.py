"""Label the images that the service kept, and move them into the dataset."""
