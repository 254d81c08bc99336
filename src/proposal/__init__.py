"""From a folder of images to settings that suit them."""
