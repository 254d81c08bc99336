"""How well the model does on corrupted images, and in each subgroup of the images."""
