import type { Duplex } from 'node:stream';
import { NEVER } from '@skbus/skb';
import { ToxicLink } from './link.ts';
import type { Chance, Piece } from './stages.ts';
import type { StreamName, Toxic } from './toxics.ts';

/** A socket of Node or of the stack. */
export type Stream = Duplex & { resetAndDestroy(): unknown };

/** Bytes that may wait in the toxics of one direction before its sender has to. */
const BUFFERED_MAX = 1 << 20;
/** setTimeout() takes 32 bits. */
const SLEEP_MAX_MS = 2 ** 31 - 1;

/** Two sockets and what is between them. */
export class Connection {
  private readonly ways: Record<StreamName, Way>;

  constructor(client: Stream, server: Stream, toxics: readonly Toxic[], chance: Chance) {
    const both = (how: 'close' | 'reset'): void => {
      for (const s of [client, server]) {
        if (how === 'reset') s.resetAndDestroy();
        else s.end(() => s.destroy());
      }
    };
    const way = (from: Stream, to: Stream, stream: StreamName): Way =>
      new Way(
        from,
        to,
        toxics.filter((t) => t.stream === stream),
        chance,
        both,
      );
    this.ways = { upstream: way(client, server, 'upstream'), downstream: way(server, client, 'downstream') };
  }

  add(t: Toxic): void {
    this.ways[t.stream].change((link, now) => link.add(t, now));
  }

  update(t: Toxic): void {
    this.ways[t.stream].change((link, now) => link.update(t, now));
  }

  remove(t: Toxic): void {
    this.ways[t.stream].change((link, now) => link.remove(t.name, now));
  }
}

/** One direction: moves what has come through the toxics, and sleeps until there is more. */
class Way {
  private readonly link: ToxicLink;
  private readonly from: Stream;
  private readonly to: Stream;
  private readonly both: (how: 'close' | 'reset') => void;
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(from: Stream, to: Stream, toxics: Toxic[], chance: Chance, both: (how: 'close' | 'reset') => void) {
    this.from = from;
    this.to = to;
    this.both = both;
    this.link = new ToxicLink(toxics, chance, performance.now());
    from.on('data', (data: Uint8Array) => this.change((link, now) => link.write(data, now)));
    from.once('end', () => this.change((link, now) => link.end(now)));
    to.on('drain', () => this.pump());
    from.on('error', () => to.resetAndDestroy());
    from.once('close', () => {
      // Closed before it came to its end: nothing can go on.
      if (!from.readableEnded) to.destroy();
    });
    to.once('close', () => clearTimeout(this.timer));
    this.pump();
  }

  change(what: (link: ToxicLink, now: number) => void): void {
    what(this.link, performance.now());
    this.pump();
  }

  private readonly pump = (): void => {
    if (this.to.destroyed) return;
    for (const p of this.link.take(performance.now())) this.deliver(p);
    const full = this.to.writableNeedDrain || this.link.buffered > BUFFERED_MAX;
    if (full) this.from.pause();
    else if (this.from.isPaused()) this.from.resume();
    clearTimeout(this.timer);
    const at = this.link.nextAt;
    if (at === NEVER) return;
    const ms = Math.ceil(at - performance.now());
    this.timer = setTimeout(this.pump, Math.min(Math.max(ms, 0), SLEEP_MAX_MS));
  };

  private deliver(p: Piece): void {
    if ('data' in p) this.to.write(p.data);
    else if (p.end === 'fin') this.to.end();
    else this.both(p.end);
  }
}
