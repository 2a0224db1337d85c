import { below, type Rng } from '@skbus/skb';
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, TCP_URG } from '@skbus/wire';
import type { Micros } from '../target.ts';

// A connection, and what a peer does to it: mostly what a TCP does, often at the edges, sometimes what none would do. All
// numbers are relative to the initial sequence numbers and fixed by the seed, whatever the stack answers.

/** A segment from the peer. Its initial sequence number is 0, and so is the stack's in `ack` and `sack`. */
export interface Segment {
  kind: 'segment';
  gapUs: Micros;
  flags: number;
  seq: number;
  ack: number;
  win: number;
  urgent: number;
  length: number;
  /** TSval, where both ends have agreed on timestamps; the echo is always of the stack's first. */
  tsVal?: number;
  sack?: readonly [number, number];
  /** An option nobody knows. */
  unknown?: boolean;
}

/** A call of the program whose socket it is. None of them blocks. */
export interface Call {
  kind: 'call';
  gapUs: Micros;
  name: 'send' | 'recv' | 'shutdown' | 'close' | 'nodelay' | 'cork';
  arg: number;
}

export type Step = Segment | Call;

export interface Handshake {
  /** Who sends the first SYN: the peer, the stack; `half`: the stack has answered the SYN; `asked`: it has sent its own. */
  how: 'passive' | 'active' | 'half' | 'asked';
  mss: number;
  sackOk: boolean;
  timestamps: boolean;
  wscale: number | undefined;
  win: number;
}

export interface Scenario {
  seed: number;
  handshake: Handshake;
  steps: Step[];
}

/** The peer's clock for timestamps at the handshake. */
export const TSVAL_0 = 1000;
const STEPS_MIN = 3;
const STEPS_MORE = 12;
const FAR = 0x4000_0000;

/** One of the values; a value that stands there twice is twice as likely. */
const pick = <T>(rng: Rng, values: readonly T[]): T => values[below(rng, values.length)]!;
const chance = (rng: Rng, percent: number): boolean => below(rng, 100) < percent;

export function scenario(seed: number, rng: Rng): Scenario {
  const how = pick(rng, ['passive', 'passive', 'passive', 'active', 'active', 'half', 'asked'] as const);
  const handshake: Handshake = {
    how,
    mss: pick(rng, [1460, 1460, 1000, 536]),
    sackOk: chance(rng, 70),
    timestamps: chance(rng, 40),
    wscale: chance(rng, 60) ? pick(rng, [0, 2, 7]) : undefined,
    win: pick(rng, [65_535, 65_535, 29_200, 5000]),
  };
  const peer = new Peer(rng, handshake);
  const steps = Array.from({ length: STEPS_MIN + below(rng, STEPS_MORE) }, () => peer.step());
  return { seed, handshake, steps };
}

/** What the peer has done so far, and what it may believe of the stack. */
class Peer {
  private readonly rng: Rng;
  private readonly handshake: Handshake;
  private readonly synchronized: boolean;
  private nxt = 1;
  /** What the program has sent, up to which an ACK could be right. */
  private sent = 1;
  private una = 1;
  private clockMs = 0;
  private closed = false;

  constructor(rng: Rng, handshake: Handshake) {
    this.rng = rng;
    this.handshake = handshake;
    this.synchronized = handshake.how === 'passive' || handshake.how === 'active';
  }

  step(): Step {
    const gapUs = pick(this.rng, [0, 5, 5, 5, 5, 5, 5, 15, 15, 100, 350]) * 1000;
    this.clockMs += gapUs / 1000;
    if (this.synchronized && !this.closed && chance(this.rng, 30)) return this.call(gapUs);
    const make = pick(this.rng, this.synchronized ? SYNCHRONIZED : HANDSHAKE);
    return this.segment(gapUs, make(this));
  }

  /** The next bytes in order. */
  data(): Partial<Segment> {
    const length = pick(this.rng, [1, 10, 100, 1000, this.handshake.mss]);
    const seq = this.nxt;
    this.nxt += length;
    return { seq, length, flags: TCP_ACK | (chance(this.rng, 50) ? TCP_PSH : 0) };
  }

  /** Bytes again, ahead, or both. */
  stray(): Partial<Segment> {
    const delta = pick(this.rng, [-1500, -100, -10, -1, 1, 10, 100, 1000, 2000, 200_000, -200_000, FAR]);
    const length = pick(this.rng, [0, 1, 10, 100, 1000]);
    return { seq: Math.max(this.nxt + delta, delta < -1500 ? -FAR : 1), length };
  }

  /** An acknowledgement: new, old, of what was not sent. */
  acknowledge(): Partial<Segment> {
    const ack = pick(this.rng, [
      this.sent,
      this.sent,
      this.sent,
      this.una,
      this.una,
      this.una + ((this.sent - this.una) >>> 1),
      this.sent + 1,
      this.sent + 1000,
      this.una - 1,
      this.una - 100_000,
      FAR,
    ]);
    if (ack > this.una && ack <= this.sent) this.una = ack;
    const win = pick(this.rng, [this.handshake.win, this.handshake.win, this.handshake.win, 0, 100, 1000]);
    return { ack, win };
  }

  sackBlock(): Partial<Segment> {
    const left = this.una + pick(this.rng, [0, 1, 100, 536, 1000, 1460]);
    const right = left + pick(this.rng, [1, 100, 536, 1000, 1460, 5000]);
    return { ack: this.una, sack: [left, right] };
  }

  fin(): Partial<Segment> {
    const delta = pick(this.rng, [0, 0, 0, 0, -1, 1, 100, FAR]);
    const seq = this.nxt + delta;
    if (delta === 0) this.nxt++;
    return { seq, flags: TCP_FIN | TCP_ACK };
  }

  reset(): Partial<Segment> {
    const delta = pick(this.rng, [0, 0, -1, 1, 100, 60_000, 200_000, -200_000]);
    return { seq: this.nxt + delta, flags: TCP_RST | (chance(this.rng, 50) ? TCP_ACK : 0), ack: this.anyAck() };
  }

  syn(): Partial<Segment> {
    const seq = pick(this.rng, [0, 0, this.nxt, this.nxt + 100, FAR, -1]);
    return { seq, flags: TCP_SYN | (chance(this.rng, 50) ? TCP_ACK : 0), ack: this.anyAck() };
  }

  urgent(): Partial<Segment> {
    const d = this.data();
    return { ...d, flags: TCP_ACK | TCP_URG, urgent: pick(this.rng, [0, 1, d.length!, d.length! + 100]) };
  }

  /** Flags that no TCP sends together, or none at all. */
  odd(): Partial<Segment> {
    const flags = pick(this.rng, [
      0,
      TCP_FIN,
      TCP_PSH,
      TCP_URG,
      TCP_FIN | TCP_SYN,
      TCP_SYN | TCP_RST,
      TCP_FIN | TCP_RST | TCP_ACK,
      TCP_FIN | TCP_SYN | TCP_RST | TCP_PSH | TCP_ACK | TCP_URG,
    ]);
    return { flags, seq: this.nxt, ack: flags & TCP_ACK ? this.anyAck() : 0, length: pick(this.rng, [0, 0, 10]) };
  }

  /** What finishes a handshake that is under way, or nearly so. */
  finish(): Partial<Segment> {
    if (this.handshake.how === 'half')
      return { seq: 1, ack: pick(this.rng, [1, 1, 1, 0, 2, FAR]), length: pick(this.rng, [0, 0, 10]) };
    const flags = pick(this.rng, [TCP_SYN | TCP_ACK, TCP_SYN | TCP_ACK, TCP_SYN, TCP_ACK]);
    return { seq: 0, flags, ack: pick(this.rng, [1, 1, 1, 0, 2, FAR]) };
  }

  private anyAck(): number {
    return pick(this.rng, [this.sent, this.sent, this.una, this.sent + 1, this.una - 1, FAR]);
  }

  private call(gapUs: Micros): Call {
    const name = pick(this.rng, [
      'send',
      'send',
      'send',
      'recv',
      'recv',
      'shutdown',
      'close',
      'nodelay',
      'cork',
    ] as const);
    let arg = 0;
    if (name === 'send') {
      arg = pick(this.rng, [1, 10, 100, 1000, 3000, 10_000]);
      this.sent += arg;
    }
    if (name === 'recv') arg = pick(this.rng, [1, 10, 100, 5000]);
    if (name === 'shutdown') arg = pick(this.rng, [0, 1, 1, 2]);
    if (name === 'nodelay' || name === 'cork') arg = below(this.rng, 2);
    this.closed ||= name === 'close';
    return { kind: 'call', gapUs, name, arg };
  }

  private segment(gapUs: Micros, given: Partial<Segment>): Segment {
    const base = { flags: TCP_ACK, seq: this.nxt, ack: this.una, win: this.handshake.win, urgent: 0, length: 0 };
    const s: Segment = { kind: 'segment', gapUs, ...base, ...given };
    if (!(s.flags & TCP_ACK)) s.ack = 0;
    if (this.handshake.timestamps && !(s.flags & TCP_RST) && chance(this.rng, 97))
      s.tsVal = TSVAL_0 + this.clockMs - (chance(this.rng, 8) ? 500_000 : 0);
    if (!this.handshake.sackOk) delete s.sack;
    if (chance(this.rng, 5)) s.unknown = true;
    return s;
  }
}

type Maker = (p: Peer) => Partial<Segment>;

const SYNCHRONIZED: readonly Maker[] = [
  ...Array<Maker>(5).fill((p) => p.data()),
  ...Array<Maker>(3).fill((p) => p.stray()),
  ...Array<Maker>(5).fill((p) => p.acknowledge()),
  ...Array<Maker>(2).fill((p) => p.sackBlock()),
  ...Array<Maker>(2).fill((p) => p.fin()),
  (p) => p.reset(),
  (p) => p.syn(),
  (p) => p.urgent(),
  (p) => p.odd(),
];

const HANDSHAKE: readonly Maker[] = [
  ...Array<Maker>(4).fill((p) => p.finish()),
  (p) => p.data(),
  (p) => p.stray(),
  (p) => p.fin(),
  (p) => p.reset(),
  (p) => p.syn(),
  (p) => p.odd(),
];
