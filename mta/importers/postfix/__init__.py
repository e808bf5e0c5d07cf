"""Postfix: main.cf and the tables it names."""
