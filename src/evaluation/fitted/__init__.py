"""What is fitted to images that the network was not trained on: its temperature and its decision rule."""
