"""Files of strangers made visible: read by libraries that have had holes, in a process that can do nothing else."""
