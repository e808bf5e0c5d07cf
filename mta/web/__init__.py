"""HTTP above the vault: the key server, the log and the pages. Thin: what is decided is decided below."""
