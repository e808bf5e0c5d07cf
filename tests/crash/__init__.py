"""What is left of the queue after a power cut at any instant: recorded once, synthesised, and recovered from.

calls.py      what strace saw, as system calls
disk.py       what these calls did to files and folders, and which of it is durable when
states.py     every disk that a power cut may leave behind
workloads.py  what is recorded, in a process of its own
check.py      the real store opens such a disk: all that was acknowledged is there, nothing twice, nothing mixed
matrix.py     the whole of it: `make crash`
"""
