import { workerData } from 'node:worker_threads';
import { EAGAIN, EINTR, errno, libcCalls as sys, memory, POLLIN } from './libc.ts';
import { ASKED, DRAINED, PACKET_FD, PACKET_MAX, RECORD_BYTES, SCRIPT, SEEN, TUN, type ReaderData } from './protocol.ts';

// The thread that sniffs: sleeps in poll(), notes the time right after each read() and hands the packet on. The device
// changes with every script; the agent raises `wakeFd` then and waits until this thread has let go of the old one.

const { wakeFd, shared } = workerData as ReaderData;
const state = new Int32Array(shared);
const record = memory(RECORD_BYTES + PACKET_MAX);
const head = new DataView(record.buffer);
const token = memory(8);
let tun = -1;
let script = 0;

const fds = new Int32Array(32);
const pollfds = new Uint8Array(fds.buffer);
fds[0] = wakeFd;
fds[1] = fds[3] = fds[5] = POLLIN;
fds[2] = PACKET_FD;

for (;;) {
  fds[4] = tun;
  if (sys.poll(pollfds, 3, -1) < 0) {
    if (errno() === EINTR) continue;
    break;
  }
  const [wake, pipe] = [fds[1]! >>> 16, fds[3]! >>> 16];
  drain();
  if (wake !== 0) change();
  // The runner is gone, or wants to know that nothing is left.
  if (pipe !== 0 && !answer()) break;
}

function drain(): void {
  if (tun < 0) return;
  for (;;) {
    const n = sys.read(tun, record.subarray(RECORD_BYTES), PACKET_MAX);
    const ns = process.hrtime.bigint();
    if (n < 0) {
      if (errno() === EINTR) continue;
      // EAGAIN: all read. Anything else: the device is down, and the script will miss its packets.
      if (errno() !== EAGAIN) tun = -1;
      return;
    }
    // What IPv6 says by itself is not the script's.
    if (record[RECORD_BYTES]! >>> 4 === 4) send(n, ns, n);
  }
}

function change(): void {
  sys.read(wakeFd, token, 8);
  const asked = Atomics.load(state, ASKED);
  tun = Atomics.load(state, TUN);
  script = Atomics.load(state, SCRIPT);
  Atomics.store(state, SEEN, asked);
  Atomics.notify(state, SEEN);
}

function answer(): boolean {
  const n = sys.read(PACKET_FD, token, 8);
  if (n <= 0) return false;
  for (let i = 0; i < n; i++) send(DRAINED, process.hrtime.bigint(), 0);
  return true;
}

function send(kind: number, ns: bigint, length: number): void {
  head.setUint32(0, kind, true);
  head.setUint32(4, script, true);
  head.setBigUint64(8, ns, true);
  for (let at = 0, end = RECORD_BYTES + length; at < end;) {
    const n = sys.write(PACKET_FD, record.subarray(at, end), end - at);
    if (n < 0 && errno() !== EINTR) return;
    if (n > 0) at += n;
  }
}
