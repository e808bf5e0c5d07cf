"""The transparency log: Merkle tree (RFC 6962), notes, checkpoints, tiles, receipts and witnesses (C2SP)."""
