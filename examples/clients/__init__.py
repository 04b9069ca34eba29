"""One call on another peer when the first fails: with the clients that people use.

Each says by ``on=`` which of its library's errors mean that the peer was not reached. Where the
default is right, nothing is said. The Host header, and with TLS the server name, stay the pod's.
"""
