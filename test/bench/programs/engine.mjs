// One measurement of the TCP engine in a process of its own: engine.mjs CASE N MS, the result as one line of JSON.
import { TCP_ACK, TCP_PSH } from '@skbus/wire';
import { cut, Engine, fixWindow, linearize, MSS, noteSent, segment } from '../lib/engine.mjs';

/** @typedef {import('../lib/engine.mjs').Conn} Conn */
/** @typedef {import('@skbus/skb').SkBuff} SkBuff */

const CHUNK = new Uint8Array(65_536);
/** Segments that arrive together, as one poll of a driver brings them. */
const BATCH = 32;
const WARM_UP = 1;
const RTT_MS = 10;

/** CPU time of this process in ms. */
function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * Repeats `work` for a share of `ms`, then for `ms`, both of CPU time: on a busy machine it takes longer, not less.
 * @param {number} ms @param {() => number} work returns how many things it did
 * @returns {number} things per second of CPU time in the second part
 */
function rate(ms, work) {
  const turn = (/** @type {number} */ length) => {
    const start = cpuMs();
    let end = start;
    let done = 0;
    while (end - start < length) {
      // Asking for the CPU time is dear, so not too often.
      const until = performance.now() + 10;
      while (performance.now() < until) for (let i = 0; i < 8; i++) done += work();
      end = cpuMs();
    }
    return (done * 1000) / (end - start);
  };
  turn(ms * WARM_UP);
  return turn(ms);
}

/** @param {Engine} e */
function check(e) {
  const { ledger } = e.env;
  if (ledger.totalDropped > 0 || ledger.imbalance !== 0)
    throw new Error(`segments were lost: ${JSON.stringify(ledger)}`);
}

/**
 * One connection gets full segments in order; the socket layer confirms and reads every batch.
 * @param {number} ms @param {(skb: SkBuff) => SkBuff} [form]
 */
function receive(ms, form = (skb) => skb) {
  const e = new Engine();
  const c = e.open(0);
  e.onPacket = (skb) => noteSent(c, skb);
  const value = rate(ms, () => {
    e.now += 0.05;
    for (let i = 0; i < BATCH; i++) e.receive(form(segment(c, TCP_ACK, MSS, 0xffff, e.now)));
    e.settle();
    return BATCH;
  });
  check(e);
  return value;
}

/** One connection sends all it may; the peer acknowledges every TSO packet. In bits. @param {number} ms */
function send(ms) {
  const e = new Engine();
  const c = e.open(0);
  let bytes = 0;
  /** @type {number[]} */
  const acks = [];
  e.onPacket = (skb) => {
    bytes += skb.dataLen;
    noteSent(c, skb);
    acks.push(c.una);
  };
  const value = rate(ms, () => {
    while (c.sndTo + CHUNK.length <= c.sndLimit) e.write(c, CHUNK);
    e.settle();
    e.now = acks.length > 0 ? e.now + 1 : Math.max(e.now, e.tcp.pollTimeout());
    for (const una of acks.splice(0)) {
      c.una = una;
      e.receive(segment(c, TCP_ACK, 0, 0xffff, e.now));
    }
    e.settle();
    const sent = bytes;
    bytes = 0;
    return sent * 8;
  });
  check(e);
  return value;
}

/** Small requests, each answered before the next one, on `n` connections in turn. @param {number} ms @param {number} n */
function requests(ms, n) {
  const e = new Engine();
  const conns = Array.from({ length: n }, (_, i) => e.open(i));
  const answer = new Uint8Array(200);
  let next = 0;
  /** @type {Conn} */
  let c = conns[0];
  e.onPacket = (skb) => noteSent(c, skb);
  const work = () => {
    c = conns[next];
    next = next + 1 === n ? 0 : next + 1;
    e.now += 0.001;
    e.receive(segment(c, TCP_ACK | TCP_PSH, 100, 0xffff, e.now));
    e.flush();
    e.unconfirmed.length = 0;
    c.queued = false;
    e.write(c, answer);
    e.settle();
    return 1;
  };
  everyOne(n, work);
  return rate(ms, work);
}

/** The first ones are special for each connection, and its memory is not where it will stay. @param {number} n @param {() => number} work */
function everyOne(n, work) {
  for (let done = 0; done < 4 * n;) done += work();
  globalThis.gc?.();
}

/** Ten segments, each of another connection, then the next ten, round and round. @param {number} ms @param {number} n */
function connections(ms, n) {
  const e = new Engine();
  const conns = Array.from({ length: n }, (_, i) => e.open(i));
  let next = 0;
  e.onPacket = () => {};
  const work = () => {
    e.now += 0.001;
    for (let i = 0; i < 10; i++) {
      e.receive(segment(conns[next], TCP_ACK, MSS, 0xffff, e.now));
      next = next + 1 === n ? 0 : next + 1;
    }
    e.settle();
    return 10;
  };
  everyOne(n, work);
  const value = rate(ms, work);
  check(e);
  return value;
}

/**
 * Two engines and a path of 10 ms that loses a share of the segments; `n` segments are outstanding. Segments on the wire.
 * @param {number} ms @param {number} n @param {number} loss
 */
function path(ms, n, loss) {
  fixWindow(n);
  const bytes = 4 * n * MSS + (1 << 20);
  const options = { congestion: 'bench', rcvbuf: 2 * bytes, sndbuf: bytes };
  const to = new Engine({ options });
  const from = new Engine({ addr: 0x0a4d0001, options });
  const there = new Link(to, Math.max(1, Math.min(16, n / 10)));
  const back = new Link(from, 1);
  let wire = 0;
  let seed = 1;
  from.onPacket = (skb) => {
    cut(skb, (one) => {
      wire++;
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      if (seed >= loss * 2 ** 32) there.push(one, from.now + RTT_MS / 2);
    });
  };
  to.onPacket = (skb) => cut(skb, (one) => back.push(one, to.now + RTT_MS / 2));
  const c = from.connect();
  const child = /** @type {Conn} */ ({ ...c, sk: 0 });
  const step = () => {
    if (child.sk === 0) to.accept(child);
    while (c.sndTo + CHUNK.length <= c.sndLimit && c.sndTo - sentBy() < bytes) from.write(c, CHUNK);
    const now = Math.min(there.next, back.next, from.tcp.pollTimeout(), to.tcp.pollTimeout());
    from.now = to.now = Math.max(now, from.now);
    there.deliver();
    back.deliver();
    to.settle();
    from.settle();
    const sent = wire;
    wire = 0;
    return sent;
  };
  const sentBy = () => child.got;
  for (let i = 0; (from.tcp.tcpInfo(c.sk)?.unacked ?? 0) < 0.8 * n; i++) {
    if (i > 100_000) throw new Error(`there are never ${n} segments outstanding`);
    step();
  }
  const value = rate(ms, step);
  for (const e of [from, to]) if (e.env.ledger.imbalance !== 0) throw new Error('the ledger is out of balance');
  return value;
}

/** A path in one direction; a burst arrives spread over time, some segments together. */
class Link {
  /** @type {SkBuff[]} */
  #skbs = [];
  /** @type {number[]} */
  #at = [];
  #head = 0;
  #inBatch = 0;

  /** @param {Engine} to @param {number} batch */
  constructor(to, batch) {
    this.to = to;
    this.batch = batch;
  }

  get next() {
    return this.#at[this.#head] ?? Infinity;
  }

  /** @param {SkBuff} skb @param {number} at */
  push(skb, at) {
    const last = this.#at.at(-1) ?? 0;
    const together = ++this.#inBatch % this.batch !== 0 && last >= at;
    this.#skbs.push(skb);
    this.#at.push(together ? last : Math.max(at, last + 0.0001));
  }

  deliver() {
    for (; this.next <= this.to.now; this.#head++) this.to.receive(this.#skbs[this.#head]);
    if (this.#head * 2 > this.#at.length) {
      this.#skbs.splice(0, this.#head);
      this.#at.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

/**
 * Heap of one established connection that has exchanged a request and an answer: what the second `n` of them add. The
 * first ones pay for what all share, compiled code included.
 * @param {number} _ms @param {number} n
 */
function memory(_ms, n) {
  const gc = /** @type {() => void} */ (globalThis.gc);
  const e = new Engine();
  const open = (/** @type {number} */ from) => {
    for (let i = from; i < from + n; i++) {
      exchange(e, i);
      e.bySk.length = 0;
    }
    quiet(e);
    // What the first collection lets go can hold on to more until the second.
    for (let i = 0; i < 3; i++) gc();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = open(0);
  const per = (open(n) - before) / n;
  check(e);
  return per;
}

const REQUEST_WINDOW = 0xffff;

/** A request, its answer, and the answer's acknowledgement. @param {Engine} e @param {number} i */
function exchange(e, i) {
  const c = e.open(i);
  e.onPacket = (skb) => noteSent(c, skb);
  e.receive(segment(c, TCP_ACK | TCP_PSH, 100, REQUEST_WINDOW, e.now));
  e.settle();
  e.write(c, new Uint8Array(200));
  e.settle();
  e.receive(segment(c, TCP_ACK, 0, REQUEST_WINDOW, e.now));
  e.settle();
  return c;
}

/** Time goes by until the engine has nothing more to say. @param {Engine} e */
function quiet(e) {
  for (let i = 0; i < 1_000_000 && e.tcp.pollTimeout() < e.now + 60_000; i++) {
    e.now = e.tcp.pollTimeout();
    e.settle();
  }
}

const [name = '', n = '0', ms = '1000'] = process.argv.slice(2);
/** @type {Record<string, (ms: number, n: number) => number>} */
const cases = {
  receive: (ms) => receive(ms),
  linear: (ms) => receive(ms, linearize),
  send,
  requests,
  connections,
  outstanding: (ms, n) => path(ms, n, 0),
  holes: (ms, n) => path(ms, n, 0.01),
  memory,
};
const run = cases[name];
if (!run) throw new Error(`no case ${name}`);
process.stdout.write(`${JSON.stringify({ value: run(Number(ms), Number(n)) })}\n`);
