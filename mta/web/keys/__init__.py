"""The key server: what OpenTDF's clients ask of a KAS, and the tokens they ask with."""
