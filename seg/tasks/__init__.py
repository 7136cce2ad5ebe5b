"""What is minimised: where model and loss meet, for the segmentation and for further tasks."""
