"""A character device before a TPM's socket: a terminal that changes nothing. Prints its path."""

import os
import pty
import socket
import sys
import tty


def whole(read):
    message = b""
    while len(message) < 10 or len(message) < int.from_bytes(message[2:6], "big"):
        part = read(4096)
        if not part:
            sys.exit(0)
        message += part
    return message


ours, theirs = pty.openpty()
tty.setraw(theirs)
print(os.ttyname(theirs), flush=True)
while True:
    command = whole(lambda size: os.read(ours, size))
    with socket.socket(socket.AF_UNIX) as tpm:
        tpm.connect(sys.argv[1])
        tpm.sendall(command)
        os.write(ours, whole(tpm.recv))
