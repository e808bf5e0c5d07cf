"""Protected mail and files: one use case a file, the same for pages, key server, pipeline and command line."""
