"""Tokens (PKCS #11) behind processes of their own, one session each.

python-pkcs11 opens modules without locks and a login holds for a whole process, so more than one thread cannot be in
a module; and a module that hangs cannot be left. A process can be killed by its pid and another one started.

    pool.py      who wants something of a token asks here: a bounded queue, deadlines, one login at a time
    blocking.py  the same for callers in threads
    member.py    one token process, as its parent sees it
    wire.py      requests and answers on the socket between the two
    process.py   the token process: what is asked, it does, one after the other
    session.py   its module, its logins, its keys
    work.py      what it does with a key: public half, opening, signing, agreeing
    making.py    keys that are made in a token, brought into it and removed
    names.py     `pkcs11:` URIs
"""
