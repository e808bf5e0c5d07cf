"""OpenTDF 4.3.0: one file that carries the sealed payload, who may open it and where its key is asked for."""
