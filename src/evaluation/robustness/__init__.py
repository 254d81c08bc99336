"""How far the model holds: on corrupted images, and in each subgroup of the images."""
