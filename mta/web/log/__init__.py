"""The log of every use of keys, served as tiles; and the witness of partners' logs."""
