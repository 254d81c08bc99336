"""Short trainings that find a good value for a setting: the learning rate, the batch size."""
