#!/usr/bin/env node
// A cable with properties: what enters one TAP device leaves the other one after its turn in a queue, a delay, and maybe
// not at all. One thread, one ppoll(): nothing but the kernel wakes it, so delays are kept to some tens of µs.
//   relay.mjs '{"ends":[{"ifname","netnsPath"} ×2], "bitsPerSecond", "delayMs", "queueBytes", "loss", "reorder", "seed"}'
// Ends by SIGTERM; prints "ready" first and its counts last.
import koffi from 'koffi';
import { errno, EAGAIN, EINTR, POLLIN, sys } from '../../../libs/libc/dist/index.js';
import { openTap } from '../../../apps/nic/dist/drivers/tun.js';
import { SeededRng } from '../../../libs/skb/dist/index.js';

const FRAME_MAX = 2048;
/** Frames read from one device before the others get their turn. */
const BURST = 64;
const ppoll = koffi.load(null).func('int ppoll(void *fds, unsigned long n, void *timeout, void *sigmask)');

const given = JSON.parse(process.argv[2] ?? '{}');
const { bitsPerSecond, delayMs, queueBytes, loss, reorder, seed } = {
  bitsPerSecond: 0,
  delayMs: 0,
  queueBytes: 1 << 20,
  loss: 0,
  reorder: 0,
  seed: 1,
  ...given,
};
const now = () => performance.now();

/**
 * The dice of one direction. Every TCP connection has its own, in the order in which they come, and each of its segments
 * throws as often: the nth segment of the kth connection meets the same fate whatever else is on the cable and whichever
 * stack sent it. What is not TCP (ARP above all, which costs a second when it is lost) is spared.
 */
class Dice {
  /** @type {Map<number, SeededRng>} by the port at the client's end */
  #flows = new Map();

  /** @param {number} way 0 from the client, 1 to it */
  constructor(way) {
    this.way = way;
  }

  /** @param {Uint8Array} f a frame @returns {{ lost: boolean, late: boolean } | undefined} */
  throw(f) {
    if (f.length < 54 || f[12] !== 8 || f[13] !== 0 || f[23] !== 6) return undefined;
    const at = 14 + ((f[14] ?? 0) & 15) * 4 + (this.way === 0 ? 0 : 2);
    const port = ((f[at] ?? 0) << 8) | (f[at + 1] ?? 0);
    let rng = this.#flows.get(port);
    if (!rng) this.#flows.set(port, (rng = new SeededRng(seed * 1_000 + this.#flows.size * 2 + this.way)));
    const hit = (/** @type {number} */ p) => rng.u32() < p * 2 ** 32;
    return { lost: hit(loss), late: hit(reorder) };
  }
}

/** One direction. Frames leave in the order of their time; those that were held back are put where they belong. */
class Way {
  /** @type {{ at: number, bytes: Uint8Array }[]} */
  queue = [];
  head = 0;
  freeAt = 0;
  counts = { in: 0, out: 0, lost: 0, overflow: 0, late: 0, refused: 0 };

  /** @param {number} out fd @param {number} way */
  constructor(out, way) {
    this.out = out;
    this.dice = new Dice(way);
  }

  /** @param {Uint8Array} frame only valid during the call @param {number} t */
  enter(frame, t) {
    this.counts.in++;
    const fate = this.dice.throw(frame);
    if (fate?.lost) {
      this.counts.lost++;
      return;
    }
    let leaves = t;
    if (bitsPerSecond > 0) {
      const backlogMs = Math.max(0, this.freeAt - t);
      if ((backlogMs * bitsPerSecond) / 8_000 + frame.length > queueBytes) {
        this.counts.overflow++;
        return;
      }
      leaves = this.freeAt = Math.max(this.freeAt, t) + (frame.length * 8_000) / bitsPerSecond;
    }
    const late = fate?.late === true;
    if (late) this.counts.late++;
    // netem's way: a reordered frame is one that skips the delay
    this.insert({ at: leaves + (late ? 0 : delayMs), bytes: frame.slice() });
  }

  /** @param {{ at: number, bytes: Uint8Array }} e */
  insert(e) {
    let i = this.queue.length;
    while (i > this.head && (this.queue[i - 1]?.at ?? 0) > e.at) i--;
    if (i === this.queue.length) this.queue.push(e);
    else this.queue.splice(i, 0, e);
  }

  /** Sends what is due. @param {number} t @returns {number} when the next one is */
  leave(t) {
    for (; this.head < this.queue.length; this.head++) {
      const e = /** @type {{ at: number, bytes: Uint8Array }} */ (this.queue[this.head]);
      if (e.at > t) break;
      if (sys.write(this.out, e.bytes, e.bytes.length) < 0) this.counts.refused++;
      else this.counts.out++;
    }
    if (this.head > 1024) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
    return this.queue[this.head]?.at ?? Infinity;
  }
}

const taps = given.ends.map((/** @type {{ ifname: string, netnsPath: string }} */ e) =>
  openTap({ ...e, offload: false }),
);
const ways = [new Way(taps[1].fd, 0), new Way(taps[0].fd, 1)];
const fds = new Int32Array(32);
const pollfds = new Uint8Array(fds.buffer);
const timeout = new BigInt64Array(16);
const timespec = new Uint8Array(timeout.buffer);
const frame = new Uint8Array(FRAME_MAX);
taps.forEach((/** @type {{ fd: number }} */ t, /** @type {number} */ i) => {
  fds[2 * i] = t.fd;
  fds[2 * i + 1] = POLLIN;
});

/** @param {number} fd @param {Way} way */
function read(fd, way) {
  for (let i = 0; i < BURST; i++) {
    const n = sys.read(fd, frame, FRAME_MAX);
    if (n > 0) way.enter(frame.subarray(0, n), now());
    else if (n === 0 || errno() === EAGAIN) return;
    else if (errno() !== EINTR) throw new Error(`relay: read: errno ${errno()}`);
  }
}

process.stdout.write('ready\n');
process.on('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify(ways.map((w) => w.counts))}\n`);
  process.exit(0);
});
/** Node hears signals only between turns of its loop. */
function turn() {
  const until = now() + 100;
  for (let t = now(); t < until; t = now()) {
    const next = Math.min(ways[0].leave(t), ways[1].leave(t), until);
    const ns = BigInt(Math.max(0, Math.ceil((next - now()) * 1e6)));
    timeout[0] = ns / 1_000_000_000n;
    timeout[1] = ns % 1_000_000_000n;
    if (ppoll(pollfds, taps.length, timespec, null) > 0) {
      for (let i = 0; i < 2; i++) if (fds[2 * i + 1] >>> 16 !== 0) read(taps[i].fd, ways[i]);
    }
  }
  setImmediate(turn);
}
turn();
