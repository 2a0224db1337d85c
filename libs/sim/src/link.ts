import type { RxMeta } from '@skbus/dev';
import { below, SeededRng, type Millis } from '@skbus/skb';
import type { VirtualClock } from './clock.ts';
import { frameProblem } from './frame-check.ts';

/** What a link does to frames; all of it from the link's seed. */
export interface LinkModel {
  /** One way. */
  latencyMs: Millis;
  /** 0: without limit. */
  bitsPerSecond: number;
  /** Probabilities per frame, 0 to 1. */
  loss: number;
  duplicate: number;
  /** This part of the frames takes `reorderMs` longer, so that later ones overtake them. */
  reorder: number;
  reorderMs: Millis;
  /** Frames waiting to be sent while the rate holds them back; more are lost. */
  queueFrames: number;
}

export const PERFECT: LinkModel = {
  latencyMs: 1,
  bitsPerSecond: 0,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  reorderMs: 5,
  queueFrames: 1000,
};

/** One end of a link. */
export interface Port {
  frame: (bytes: Uint8Array, meta: RxMeta) => void;
  /** No more frames at this time. */
  done: () => void;
  /** A fault rule lets this end send frames that no stack may send. */
  mayLie?: () => boolean;
  /** A frame that had to wait for its turn is on the wire. */
  sent?: () => void;
}

/** What an end sends by; `queued`: frames that wait while the rate holds them back. */
export interface LinkEnd {
  send(bytes: Uint8Array, meta: RxMeta): void;
  readonly queued: number;
}

interface Attached extends Port {
  /** When the wire is free again. */
  freeAt: Millis;
  queued: number;
  arrived: { bytes: Uint8Array; meta: RxMeta }[];
}

/** A cable: what one end sends, every other end gets. With two ends a link, with more a segment. */
export class Link {
  readonly counters = { sent: 0, delivered: 0, lost: 0, duplicated: 0, reordered: 0, overflow: 0 };
  /** Frames no stack may send: wrong lengths, wrong sums. */
  readonly problems: string[] = [];
  /** Decides before chance does; true: the frame is lost. */
  drop: ((bytes: Uint8Array) => boolean) | undefined = undefined;
  readonly model: LinkModel;
  private readonly ports: Attached[] = [];
  private readonly clock: VirtualClock;
  private readonly rng: SeededRng;

  constructor(clock: VirtualClock, seed: number, model: Partial<LinkModel>) {
    this.clock = clock;
    this.rng = new SeededRng(seed);
    this.model = { ...PERFECT, ...model };
  }

  /** Changes the model from now on. */
  set(model: Partial<LinkModel>): void {
    Object.assign(this.model, model);
  }

  attach(port: Port): LinkEnd {
    const end: Attached = { ...port, freeAt: 0, queued: 0, arrived: [] };
    this.ports.push(end);
    return {
      send: (bytes, meta) => this.send(end, bytes, meta),
      get queued() {
        return end.queued;
      },
    };
  }

  private send(from: Attached, bytes: Uint8Array, meta: RxMeta): void {
    this.counters.sent++;
    const problem = from.mayLie?.() === true ? undefined : frameProblem(bytes, meta);
    if (problem !== undefined) this.problems.push(problem);
    const leavesAt = this.serialize(from, bytes.length);
    if (leavesAt === undefined) return;
    for (const to of this.ports) if (to !== from) this.carry(to, bytes, meta, leavesAt);
  }

  private serialize(from: Attached, bytes: number): Millis | undefined {
    const { bitsPerSecond, queueFrames } = this.model;
    if (bitsPerSecond === 0) return this.clock.now;
    if (from.queued >= queueFrames) {
      this.counters.overflow++;
      return undefined;
    }
    from.freeAt = Math.max(from.freeAt, this.clock.now) + (bytes * 8_000) / bitsPerSecond;
    from.queued++;
    this.clock.schedule(from.freeAt, 'frame', () => {
      from.queued--;
      from.sent?.();
    });
    return from.freeAt;
  }

  private carry(to: Attached, bytes: Uint8Array, meta: RxMeta, leavesAt: Millis): void {
    const { latencyMs, loss, duplicate, reorder, reorderMs } = this.model;
    if (this.drop?.(bytes) === true || this.chance(loss)) {
      this.counters.lost++;
      return;
    }
    let copies = 1;
    if (this.chance(duplicate)) {
      copies = 2;
      this.counters.duplicated++;
    }
    for (let i = 0; i < copies; i++) {
      const late = this.chance(reorder);
      if (late) this.counters.reordered++;
      this.clock.schedule(leavesAt + latencyMs + (late ? reorderMs : 0), 'frame', () => this.arrive(to, bytes, meta));
    }
  }

  /** Frames that arrive at the same instant are one batch, as a driver would read them. */
  private arrive(to: Attached, bytes: Uint8Array, meta: RxMeta): void {
    this.counters.delivered++;
    // Of its own: a receiver may write into it (TTL, sums) and there may be others.
    to.arrived.push({ bytes: bytes.slice(), meta });
    if (to.arrived.length > 1) return;
    this.clock.schedule(this.clock.now, 'frame', () => {
      const batch = to.arrived;
      to.arrived = [];
      for (const f of batch) to.frame(f.bytes, f.meta);
      to.done();
    });
  }

  private chance(p: number): boolean {
    return p > 0 && below(this.rng, 1_000_000) < p * 1_000_000;
  }
}
