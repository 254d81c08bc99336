"""Records that travel with the results: in git, one small file for each execution and each decision."""
