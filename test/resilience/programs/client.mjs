// In the Linux peer: connections in every state, watched for the longest time without progress. Commands and answers are
// lines of JSON: {"cmd":"arm"} → ready, {"cmd":"mark"} → the fault comes now, {"cmd":"judge"} → what became of each.
import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';
import { fits, MODE, piece, WRONG } from '../lib/pattern.mjs';

const [host = '', port = ''] = process.argv.slice(2);
const EVERY_MS = 5;
const CHUNK_IN = 32_768;
const CHUNK_BOTH = 16_384;
const PING = 16;
/** A connection without progress for so long is lost. */
const PATIENCE_MS = 20_000;
const HANDSHAKE_EVERY_MS = 40;

/** @typedef {{ outcome: 'alive' | 'reset' | 'lost' | 'wrong', ms: number, why?: string }} Verdict */

const sleep = (/** @type {number} */ ms) => new Promise((done) => setTimeout(done, ms));
const now = () => performance.now();

/** A long-lived connection that makes progress all the time. */
class Flow {
  /** @param {string} mode @param {{ write: number, halfClose?: boolean, take: (data: Buffer, flow: Flow) => boolean }} how */
  constructor(mode, how) {
    this.mode = mode;
    this.how = how;
    /** @type {import('node:net').Socket | undefined} */
    this.socket = undefined;
    this.failed = '';
    this.wrong = false;
    this.sent = 0;
    this.got = 0;
    this.rest = Buffer.alloc(0);
    this.lastMs = 0;
    this.gapMs = 0;
    this.marked = false;
  }

  open() {
    this.socket?.destroy();
    const c = createConnection({ host, port: Number(port), allowHalfOpen: true });
    Object.assign(this, { socket: c, failed: '', wrong: false, sent: 0, got: 0, rest: Buffer.alloc(0), lastMs: 0 });
    let room = true;
    c.on('error', (e) => this.end(c, e.message));
    c.on('close', () => this.end(c, 'closed'));
    c.on('end', () => this.end(c, 'the other end closed'));
    c.on('drain', () => (room = true));
    c.on('data', (data) => this.onData(data));
    c.write(this.mode);
    if (this.how.halfClose) c.end();
    if (this.how.write === 0) return;
    const timer = setInterval(() => {
      if (!room || c.destroyed) return;
      room = c.write(piece(this.sent, this.how.write));
      this.sent += this.how.write;
    }, EVERY_MS);
    c.on('close', () => clearInterval(timer));
  }

  /** @param {import('node:net').Socket} c @param {string} why */
  end(c, why) {
    if (c === this.socket && this.failed === '') this.failed = why;
  }

  /** @param {Buffer} data */
  onData(data) {
    if (!this.how.take(data, this)) this.wrong = true;
    const t = now();
    if (this.marked) this.gapMs = Math.max(this.gapMs, t - this.lastMs);
    this.lastMs = t;
  }

  async arm() {
    if (this.socket === undefined || this.failed !== '' || this.wrong) this.open();
    const from = now();
    while (this.lastMs < from) {
      if (this.failed !== '' || now() - from > 5_000) {
        this.open();
        await sleep(200);
        if (now() - from > PATIENCE_MS) throw new Error(`${this.mode}: cannot be opened: ${this.failed}`);
      }
      await sleep(5);
    }
  }

  mark() {
    this.marked = true;
    this.gapMs = 0;
  }

  /** @returns {Promise<Verdict>} */
  async judge() {
    const from = now();
    while (this.lastMs < from && this.failed === '' && !this.wrong && now() - from < PATIENCE_MS) await sleep(5);
    this.marked = false;
    const ms = this.gapMs;
    if (this.wrong) return { outcome: 'wrong', ms, why: `after ${this.got} bytes` };
    if (this.failed !== '') return { outcome: 'reset', ms, why: this.failed };
    return this.lastMs < from ? { outcome: 'lost', ms: now() - this.lastMs } : { outcome: 'alive', ms };
  }
}

/** @param {Buffer} data @param {Flow} f */
function checked(data, f) {
  const ok = fits(data, f.got);
  f.got += data.length;
  return ok;
}

/** Reports of the receiving server: how many bytes have reached the program. @param {Buffer} data @param {Flow} f */
function reports(data, f) {
  f.rest = Buffer.concat([f.rest, data]);
  while (f.rest.length >= 8) {
    const n = f.rest.readBigUInt64BE(0);
    if (n === WRONG || n < BigInt(f.got) || n > BigInt(f.sent)) return false;
    f.got = Number(n);
    f.rest = f.rest.subarray(8);
  }
  return true;
}

/** A connection of its own for one exchange; its answer must be what was sent. @param {string} mode @param {number} localPort */
function exchange(mode, localPort) {
  const began = now();
  return new Promise((/** @type {(v: Verdict & { localPort: number }) => void} */ resolve) => {
    const c = createConnection({ host, port: Number(port), ...(localPort ? { localPort } : {}) });
    let got = Buffer.alloc(0);
    let mine = localPort;
    const done = (/** @type {Verdict['outcome']} */ outcome, /** @type {string | undefined} */ why) => {
      clearTimeout(late);
      resolve({ outcome, ms: now() - began, localPort: mine, ...(why ? { why } : {}) });
      if (mode !== MODE.close || outcome !== 'alive') c.destroy();
    };
    const late = setTimeout(() => done('lost', undefined), PATIENCE_MS);
    c.on('connect', () => (mine = c.localPort ?? 0));
    c.on('error', (e) => done('reset', e.message));
    c.on('data', (d) => {
      got = Buffer.concat([got, d]);
      if (got.length >= PING && mode !== MODE.close) done(got.equals(piece(0, PING)) ? 'alive' : 'wrong', undefined);
    });
    c.on('end', () => done(got.equals(piece(0, PING)) ? 'alive' : got.length < PING ? 'reset' : 'wrong', 'closed'));
    c.write(Buffer.concat([Buffer.from(mode), piece(0, PING)]));
  });
}

/** @param {Verdict[]} all @returns {Verdict} */
function worst(all) {
  const rank = ['alive', 'reset', 'lost', 'wrong'];
  return all.reduce((a, b) => {
    const [x, y] = [rank.indexOf(a.outcome), rank.indexOf(b.outcome)];
    return y > x || (y === x && b.ms > a.ms) ? b : a;
  });
}

/** New connections all the time: each must come about and carry data. */
class Handshakes {
  constructor() {
    this.on = false;
    /** @type {Promise<Verdict>[]} */
    this.all = [];
  }

  async arm() {
    const v = await exchange(MODE.echo, 0);
    if (v.outcome !== 'alive') throw new Error(`no connection: ${v.why ?? v.outcome}`);
  }

  mark() {
    this.on = true;
    this.all = [];
    const next = () => {
      if (!this.on) return;
      this.all.push(exchange(MODE.echo, 0));
      setTimeout(next, HANDSHAKE_EVERY_MS);
    };
    next();
  }

  async judge() {
    this.on = false;
    return worst(await Promise.all(this.all));
  }
}

/** A connection without traffic, used once the fault is over. */
class Idle {
  async arm() {
    this.flow ??= new Flow(MODE.echo, { write: 0, take: checked });
    const f = this.flow;
    if (f.socket === undefined || f.failed !== '' || f.wrong) f.open();
    await this.ping();
  }

  /** @returns {Promise<Verdict>} */
  ping() {
    const f = /** @type {Flow} */ (this.flow);
    f.mark();
    f.lastMs = now();
    f.socket?.write(piece(f.sent, PING));
    f.sent += PING;
    return f.judge();
  }

  mark() {}

  judge() {
    return this.ping();
  }
}

/** A connection that the stack has closed first: in TIME_WAIT there, its pair of ports used again after the fault. */
class TimeWait {
  async arm() {
    const v = await exchange(MODE.close, 0);
    if (v.outcome !== 'alive') throw new Error(`no connection to close: ${v.why ?? v.outcome}`);
    this.localPort = v.localPort;
  }

  mark() {}

  /** While our own end waits for the acknowledgement of its FIN, its port is in use: TIME_WAIT is there to give it again. */
  async judge() {
    const began = now();
    for (;;) {
      const v = await exchange(MODE.close, this.localPort ?? 0);
      const ms = now() - began;
      if (!v.why?.includes('EADDRINUSE')) return { ...v, ms };
      if (ms > PATIENCE_MS) return { outcome: /** @type {const} */ ('lost'), ms, why: v.why };
      await sleep(20);
    }
  }
}

const states = {
  handshake: new Handshakes(),
  'bulk in': new Flow(MODE.in, { write: CHUNK_IN, take: reports }),
  'bulk out': new Flow(MODE.out, { write: 0, take: checked }),
  both: new Flow(MODE.echo, { write: CHUNK_BOTH, take: checked }),
  idle: new Idle(),
  'half-closed': new Flow(MODE.slow, { write: 0, halfClose: true, take: checked }),
  TIME_WAIT: new TimeWait(),
};

const say = (/** @type {unknown} */ o) => process.stdout.write(`${JSON.stringify(o)}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const { cmd } = JSON.parse(line);
  try {
    if (cmd === 'arm') {
      await Promise.all(Object.values(states).map((s) => s.arm()));
      say({ ready: true });
    } else if (cmd === 'mark') {
      for (const s of Object.values(states)) s.mark();
      say({ marked: true });
    } else if (cmd === 'judge') {
      const verdicts = await Promise.all(Object.entries(states).map(async ([name, s]) => [name, await s.judge()]));
      say({ verdicts: Object.fromEntries(verdicts) });
    }
  } catch (e) {
    say({ error: e instanceof Error ? e.message : String(e) });
  }
}
process.exit(0);
