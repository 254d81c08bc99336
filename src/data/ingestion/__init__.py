"""From the files in ``data/raw`` to one array of checked images."""
