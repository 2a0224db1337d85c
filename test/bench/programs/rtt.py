"""rtt.py HOST PORT MS: one byte there and back, over and over; prints one line of JSON.

The measuring end of the round trips of the kernel and of the stack, run inside a network namespace. Python, as its calls are
the plain blocking ones: the same in Node is some 20 us of event loop and streams, which would be counted as the stack's.
"""
import json
import socket
import struct
import sys
import time

# Round trips before the first that counts: code on the way gets compiled.
WARM_UP = 5_000
# Nobody answers for this long: the measurement failed, and says so instead of hanging.
STALL_S = 3


def rounds(send, recv, now, count=None, until_ns=None):
    took = []
    while (count is None or len(took) < count) and (until_ns is None or now() < until_ns):
        sent = now()
        send(b"x")
        if recv(1) != b"x":
            raise ConnectionError("the other end closed")
        took.append(now() - sent)
    return took


def main(host, port, ms):
    with socket.create_connection((host, port), STALL_S) as s:
        s.settimeout(None)  # else every recv() is preceded by a poll()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", STALL_S, 0))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        now = time.perf_counter_ns
        rounds(s.send, s.recv, now, count=WARM_UP)
        us = sorted(t / 1e3 for t in rounds(s.send, s.recv, now, until_ns=now() + ms * 1_000_000))
    at = lambda p: us[min(len(us) - 1, int(len(us) * p))]
    print(json.dumps({"count": len(us), "p50Us": at(0.5), "p99Us": at(0.99)}))


host, port, ms = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
try:
    main(host, port, ms)
except BlockingIOError:
    sys.exit(f"rtt {host}:{port}: no answer within {STALL_S} s")
except OSError as e:
    sys.exit(f"rtt {host}:{port}: {e}")
