import { NEVER, type Millis } from '@skbus/skb';
import type { Attributes, Toxic, ToxicType } from './toxics.ts';

/** What goes through a link: bytes, or how it ends. `close`: both ways; `reset`: both ways, by RST. */
export type What = { data: Uint8Array } | { end: 'fin' | 'close' | 'reset' };
/** `at`: when it leaves. */
export type Piece = What & { at: Millis };

/** A number from 0 up to 1. */
export type Chance = () => number;

/** A bandwidth's piece is what passes in this time, so that bytes trickle and do not come in gulps. */
const TRICKLE_MS = 100;

/** One toxic at work on one direction of one connection. What comes in at a time leaves at another, in order. */
export abstract class Stage<T extends ToxicType> {
  toxic: Toxic<T>;
  protected readonly chance: Chance;
  private readonly queue: Piece[] = [];
  private lastAt: Millis = 0;

  constructor(toxic: Toxic<T>, chance: Chance) {
    this.toxic = toxic;
    this.chance = chance;
  }

  /** Decides what becomes of it and when, by `leave()`. */
  abstract push(p: Piece): void;

  get nextAt(): Millis {
    return this.queue[0]?.at ?? NEVER;
  }

  take(now: Millis): Piece | undefined {
    return this.nextAt <= now ? this.queue.shift() : undefined;
  }

  /** New attributes; what waits keeps its time. */
  update(toxic: Toxic<T>, _now: Millis): void {
    this.toxic = toxic;
  }

  /** It works on this connection no more: what waits goes on at once. */
  flush(now: Millis): Piece[] {
    return this.queue.splice(0).map((p) => ({ ...p, at: now }));
  }

  /** The toxic is taken away. */
  removed(now: Millis): Piece[] {
    return this.flush(now);
  }

  get buffered(): number {
    return this.queue.reduce((n, p) => n + ('data' in p ? p.data.length : 0), 0);
  }

  protected get attributes(): Attributes<T> {
    return this.toxic.attributes;
  }

  /** Never before what came before it; returns when it leaves. */
  protected leave(at: Millis, what: What): Millis {
    this.lastAt = Math.max(this.lastAt, at);
    this.queue.push({ ...what, at: this.lastAt });
    return this.lastAt;
  }

  protected get busyUntil(): Millis {
    return this.lastAt;
  }
}

/** Each piece is late by `latency` ± `jitter` ms. */
class Latency extends Stage<'latency'> {
  push(p: Piece): void {
    const { latency, jitter } = this.attributes;
    this.leave(p.at + Math.max(0, latency + (jitter > 0 ? Math.floor((2 * this.chance() - 1) * jitter) : 0)), p);
  }
}

/** `rate` KB (of 1000 bytes) a second. */
class Bandwidth extends Stage<'bandwidth'> {
  push(p: Piece): void {
    const { rate } = this.attributes;
    if (!('data' in p) || rate === 0) return void this.leave(p.at, p);
    let at = Math.max(p.at, this.busyUntil);
    for (let i = 0; i < p.data.length; i += rate * TRICKLE_MS) {
      const data = p.data.subarray(i, i + rate * TRICKLE_MS);
      at = this.leave(at + data.length / rate, { data });
    }
  }
}

/** The end comes `delay` ms late. */
class SlowClose extends Stage<'slow_close'> {
  push(p: Piece): void {
    this.leave(p.at + ('data' in p ? 0 : this.attributes.delay), p);
  }
}

/** Nothing comes through; after `timeout` ms the connection is closed, with 0 when the toxic is taken away. */
class Timeout extends Stage<'timeout'> {
  private since: Millis;
  private closed = false;

  constructor(toxic: Toxic<'timeout'>, chance: Chance, now: Millis) {
    super(toxic, chance);
    this.since = now;
  }

  push(p: Piece): void {
    if (!('data' in p)) this.leave(p.at, p);
  }

  override get nextAt(): Millis {
    const { timeout } = this.attributes;
    return Math.min(super.nextAt, this.closed || timeout === 0 ? NEVER : this.since + timeout);
  }

  override take(now: Millis): Piece | undefined {
    const p = super.nextAt <= now ? super.take(now) : undefined;
    if (p !== undefined || this.nextAt > now) return p;
    this.closed = true;
    return { at: now, end: 'close' };
  }

  /** The time counts from now on. */
  override update(toxic: Toxic<'timeout'>, now: Millis): void {
    super.update(toxic, now);
    this.since = now;
  }

  override removed(now: Millis): Piece[] {
    return [{ at: now, end: 'close' }];
  }
}

/** `timeout` ms after the first byte the connection is reset; nothing comes through. */
class ResetPeer extends Stage<'reset_peer'> {
  private done = false;

  push(p: Piece): void {
    if (this.done) return;
    this.done = true;
    this.leave(p.at + this.attributes.timeout, { end: 'reset' });
  }
}

/** Cuts data into pieces of `average_size` ± `size_variation` bytes, `delay` µs apart. */
class Slicer extends Stage<'slicer'> {
  push(p: Piece): void {
    const { average_size: size, size_variation: vary, delay } = this.attributes;
    if (!('data' in p) || size === 0) return void this.leave(p.at, p);
    let at = Math.max(p.at, this.busyUntil);
    for (let i = 0; i < p.data.length;) {
      const n = Math.max(1, Math.round(size + (2 * this.chance() - 1) * vary));
      at = this.leave(at, { data: p.data.subarray(i, i + n) }) + delay / 1000;
      i += n;
    }
  }
}

/** After `bytes` the connection is closed. */
class LimitData extends Stage<'limit_data'> {
  private passed = 0;
  private done = false;

  push(p: Piece): void {
    if (this.done) return;
    if (!('data' in p)) return void this.leave(p.at, p);
    const data = p.data.subarray(0, Math.max(0, this.attributes.bytes - this.passed));
    this.passed += data.length;
    if (data.length > 0) this.leave(p.at, { data });
    if (this.passed < this.attributes.bytes) return;
    this.done = true;
    this.leave(p.at, { end: 'close' });
  }
}

export type AnyStage = Stage<ToxicType>;
type Make<T extends ToxicType> = (toxic: Toxic<T>, chance: Chance, now: Millis) => Stage<T>;

const STAGES: { [T in Exclude<ToxicType, 'packet_loss'>]: Make<T> } = {
  latency: (t, c) => new Latency(t, c),
  bandwidth: (t, c) => new Bandwidth(t, c),
  slow_close: (t, c) => new SlowClose(t, c),
  timeout: (t, c, now) => new Timeout(t, c, now),
  reset_peer: (t, c) => new ResetPeer(t, c),
  slicer: (t, c) => new Slicer(t, c),
  limit_data: (t, c) => new LimitData(t, c),
};

/** A stream of bytes loses none, so there is no stage for packet_loss; the seams have it. */
export const worksOnStreams = (type: ToxicType): type is keyof typeof STAGES => type !== 'packet_loss';

export function stageFor(toxic: Toxic, chance: Chance, now: Millis): AnyStage {
  if (!worksOnStreams(toxic.type)) throw new Error(`no stage for ${toxic.type}`);
  return (STAGES[toxic.type] as unknown as Make<ToxicType>)(toxic, chance, now);
}
