"""What this proxy's media dispatcher knows: python3 - <core address>. Prints JSON. Speaks the protocol itself, independent of our code."""

import json
import socket
import ssl
import sys

PLACE = "/etc/sipha/media-manager/"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.load_verify_locations(PLACE + "ca.pem")
context.load_cert_chain(PLACE + "manager.crt", PLACE + "manager.key")
answers = {}
with context.wrap_socket(socket.create_connection((sys.argv[1], 25061), 5)) as connection:
    stream = connection.makefile("rwb")
    for command in ("summary", "sessions"):
        stream.write(command.encode() + b"\r\n")
        stream.flush()
        answers[command] = json.loads(stream.readline())
    stream.write(b"quit\r\n")
    stream.flush()
print(json.dumps(answers))
