"""What the gateway is compared with, each in a process of its own; it knows the gateway's settings at most."""
