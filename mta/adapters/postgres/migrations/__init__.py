"""Numbered steps of the queue's schema: 0001.sql makes version 1, 0002.sql turns that into version 2, and so on."""
