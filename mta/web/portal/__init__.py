"""The pages of readers. Thin: who they are decides vault/prove.py, what they may and see vault/read.py."""
