#!/usr/bin/env python3
"""Prints a port of 127.0.0.1 that nobody has. It lies below those that the system gives to outgoing connections, so
that nobody is given it before its owner is up."""
import random
import socket

while True:
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", random.randrange(20000, 32000)))
        except OSError:
            continue
        print(s.getsockname()[1])
        break
