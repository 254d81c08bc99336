"""From a folder of images to settings that suit them: what they are, what to try, what to write down."""
