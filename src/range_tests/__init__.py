"""Short trainings that measure what a setting should be: the learning rate, the size of a batch."""
