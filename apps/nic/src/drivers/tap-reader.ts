import { parentPort, workerData } from 'node:worker_threads';
import { FRAME_MAX, FrameRing } from './frame-ring.ts';
import { EAGAIN, EINTR, errno, POLLIN, sys } from '@skbus/libc';
import { openTap, type TapOptions } from './tun.ts';

/**
 * The reading half of a TAP device, in a thread of its own: sleeps in poll(), reads what there is straight into the
 * shared ring, tells the main thread once per burst. Full ring: sleeps too, and the kernel drops at its own queue.
 */
export interface ReaderData {
  tap: TapOptions;
  ring: SharedArrayBuffer;
  /** Readable when the thread shall end: a sleep in poll() cannot be interrupted otherwise. */
  stopFd: number;
  /** A pipe: a byte in it says that there are frames in the ring. */
  toldFd: number;
}

export type ReaderMessage =
  | { kind: 'open'; fd: number; vnetHdr: boolean; csum: boolean; tso: boolean; notes: string[] }
  | { kind: 'failed'; reason: string };

/** Frames and bytes after which the main thread is told though there is more to read (NAPI's weight). */
const BURST_FRAMES = 64;
const BURST_BYTES = 256 * 1024;

const { tap, ring: shared, stopFd, toldFd } = workerData as ReaderData;
const port = parentPort!;
const ring = new FrameRing(shared);

const BYTE = new Uint8Array(128);

const tell = (m: ReaderMessage): void => port.postMessage(m);

function main(): void {
  const { fd, ...opened } = openTap(tap);
  tell({ kind: 'open', fd, ...opened });
  const why = loop(fd);
  // A kept one is opened once for the life of the stack.
  if (tap.keptFd === undefined) sys.close(fd);
  if (why !== undefined) tell({ kind: 'failed', reason: why });
}

/** Returns why it ended, or `undefined` when it was asked to. */
function loop(fd: number): string | undefined {
  const fds = new Int32Array(32);
  fds[0] = fd;
  fds[1] = POLLIN;
  fds[2] = stopFd;
  fds[3] = POLLIN;
  const pollfds = new Uint8Array(fds.buffer);
  for (;;) {
    if (sys.poll(pollfds, 2, -1) < 0 && errno() !== EINTR) return `poll: errno ${errno()}`;
    if (fds[3]! >>> 16 !== 0 || ring.stopped) return undefined;
    const failed = drain(fd);
    if (failed !== undefined) return failed === '' ? undefined : failed;
  }
}

/** Reads until there is nothing left. A text: why it cannot go on; '' when stopped. */
function drain(fd: number): string | undefined {
  let frames = 0;
  let bytes = 0;
  for (;;) {
    const at = ring.reserve();
    if (at < 0) {
      publish();
      if (!ring.waitForRoom()) return '';
      continue;
    }
    const n = sys.read(fd, ring.bytes.subarray(at, at + FRAME_MAX), FRAME_MAX);
    if (n < 0) {
      const code = errno();
      if (code === EINTR) continue;
      if (frames > 0) publish();
      return code === EAGAIN ? undefined : `${tap.ifname}: the TAP device is gone (read: errno ${code})`;
    }
    ring.commit(n);
    frames++;
    bytes += n;
    if (frames >= BURST_FRAMES || bytes >= BURST_BYTES) {
      publish();
      frames = bytes = 0;
    }
  }
}

function publish(): void {
  if (ring.publish()) sys.write(toldFd, BYTE, 1);
}

try {
  main();
} catch (e) {
  tell({ kind: 'failed', reason: e instanceof Error ? e.message : String(e) });
}
