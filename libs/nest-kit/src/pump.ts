import type { Bus } from '@skbus/bus';
import { decodeSkbList, encodeSkbList, HAND_OVER_OWNER, pb, subjects, type Layer } from '@skbus/contracts';
import type { HandOver, LayerEnv, SkbOut, SkBuff } from '@skbus/skb';
import { Absent } from './absent.ts';

/** A message is closed at this size: far below the broker's limit, big enough that the cost per message is gone. */
const MESSAGE_BYTES_MAX = 512 * 1024;

interface Outbound {
  subject: string;
  owner: Layer;
  skbs: SkBuff[];
  bytes: number;
  seq: number;
  sent: number;
}

interface Inbound {
  /** Per publisher: the next sequence number and how many skbs it had sent by then. */
  publishers: Map<number, { seq: number; sent: number }>;
  got: number;
  lost: number;
}

/**
 * The data plane of one service: collects what the engine hands on into one list per destination, and takes lists in.
 * Counts per subject make every loss in the broker exact.
 */
export class SkbPump implements SkbOut {
  /** Layers that have died, and what waits for those in their place. */
  readonly absent = new Absent((subject, message) => this.bus.publish(subject, message));
  /** By hand-over and instance: a subject is put together once, not per skb. */
  private readonly out = new Map<HandOver, Map<number, Outbound>>();
  private dirty: Outbound[] = [];
  private readonly inbound = new Map<string, Inbound>();
  private readonly bus: Bus;
  private readonly netns: string;
  private readonly publisher: number;

  constructor(bus: Bus, netns: string, publisher: number) {
    this.bus = bus;
    this.netns = netns;
    this.publisher = publisher;
  }

  pass(to: HandOver, skb: SkBuff, instance: number): void {
    const o = this.out.get(to)?.get(instance) ?? this.open(to, instance);
    if (o.skbs.length === 0) this.dirty.push(o);
    o.skbs.push(skb);
    o.bytes += skb.tail - skb.data + skb.dataLen;
    if (o.bytes >= MESSAGE_BYTES_MAX) this.publish(o);
  }

  private open(to: HandOver, instance: number): Outbound {
    // Hand-overs that know no instances have one subject.
    const subject = subjects.skb(this.netns, to, instance);
    let all = this.out.get(to);
    if (!all) this.out.set(to, (all = new Map<number, Outbound>()));
    const same = [...all.values()].find((o) => o.subject === subject);
    const o = same ?? { subject, owner: HAND_OVER_OWNER[to], skbs: [], bytes: 0, seq: 0, sent: 0 };
    all.set(instance, o);
    return o;
  }

  /** Publishes every list once. */
  flush(): void {
    const dirty = this.dirty;
    if (dirty.length === 0) return;
    this.dirty = [];
    for (const o of dirty) if (o.skbs.length > 0) this.publish(o);
  }

  /** Decodes one message and accounts for it; what was lost or is no skb goes into the ledger as received and dropped. */
  receive(message: Uint8Array, subject: string, env: LayerEnv): readonly SkBuff[] {
    const list = decodeSkbList(message);
    if (!list) {
      // Nobody knows how many skbs that was; it counts as one.
      env.ledger.received++;
      env.ledger.dropped('BUS_MALFORMED');
      return [];
    }
    const total = list.skbs.length + list.malformed;
    const lost = this.account(subject, list.publisher, list.seq, list.sentBefore, total);
    env.ledger.received += total + lost;
    for (let i = 0; i < lost; i++) env.ledger.dropped('BUS_LOST');
    for (let i = 0; i < list.malformed; i++) env.ledger.dropped('BUS_MALFORMED');
    return list.skbs;
  }

  /** skbs per subject: published, received, lost on the way here. */
  counters(): { sent: Record<string, number>; got: Record<string, number>; lost: Record<string, number> } {
    const sent: Record<string, number> = {};
    const got: Record<string, number> = {};
    const lost: Record<string, number> = {};
    for (const all of this.out.values()) for (const o of all.values()) sent[o.subject] = o.sent;
    for (const [s, i] of this.inbound) {
      got[s] = i.got;
      if (i.lost > 0) lost[s] = i.lost;
    }
    return { sent, got, lost };
  }

  /** RetireReply: how far everything has been handled, for the process that takes over. */
  handled(): Uint8Array {
    const handled = [...this.inbound].flatMap(([subject, { publishers }]) =>
      [...publishers].map(([publisher, { seq, sent }]) => ({ subject, publisher, seq, sent })),
    );
    return pb.RetireReply.encode({ handled }).finish();
  }

  /** Goes on where another process of this layer has stopped. */
  takeUp(retired: Uint8Array): void {
    for (const { subject, publisher, seq, sent } of pb.RetireReply.decode(retired).handled) {
      const name = subject ?? '';
      let i = this.inbound.get(name);
      if (!i) this.inbound.set(name, (i = { publishers: new Map(), got: 0, lost: 0 }));
      i.publishers.set(publisher ?? 0, { seq: seq ?? 0, sent: sent ?? 0 });
    }
  }

  /** The process before this one has handled it. */
  wasHandled(message: Uint8Array, subject: string): boolean {
    const publishers = this.inbound.get(subject)?.publishers;
    if (publishers === undefined) return false;
    const list = decodeSkbList(message);
    const p = list && publishers.get(list.publisher);
    return p !== undefined && (list!.seq - p.seq) >>> 0 >= 0x8000_0000;
  }

  private publish(o: Outbound): void {
    const skbs = o.skbs;
    const message = encodeSkbList(this.publisher, o.seq, o.sent, skbs);
    if (!this.absent.keeps(o.owner, o.subject, message)) this.bus.publish(o.subject, message);
    o.seq = (o.seq + 1) >>> 0;
    o.sent = (o.sent + skbs.length) >>> 0;
    o.skbs = [];
    o.bytes = 0;
  }

  /** How many skbs the publisher sent on this subject that never came. */
  private account(subject: string, publisher: number, seq: number, sentBefore: number, n: number): number {
    let i = this.inbound.get(subject);
    if (!i) this.inbound.set(subject, (i = { publishers: new Map(), got: 0, lost: 0 }));
    i.got += n;
    const p = i.publishers.get(publisher);
    const next = { seq: (seq + 1) >>> 0, sent: (sentBefore + n) >>> 0 };
    if (!p) {
      // We may have come later than it; what it sent before we listened is not ours to count.
      i.publishers.set(publisher, next);
      return 0;
    }
    const gap = (sentBefore - p.sent) >>> 0;
    p.seq = next.seq;
    p.sent = next.sent;
    // A message that claims to be from the past (gap "negative") is a forgery or a duplicate: nothing was lost by it.
    const lost = gap < 0x8000_0000 ? Math.min(gap, 1_000_000) : 0;
    i.lost += lost;
    return lost;
  }
}
