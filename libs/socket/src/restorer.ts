import { TCP_CLOSE, TCP_LISTEN, type Millis, NEVER, type SkCmd, type SkId } from '@skbus/skb';
import type { LooseRecords } from './loose-records.ts';
import { REPEAT_MIN_MS } from './sock.ts';
import type { StreamSock } from './stream-sock.ts';
import type { Timed } from './timer-heap.ts';

/** So many are on their way at a time: a list of commands stays short, and what TCP answers goes between. */
const PENDING_MAX = 256;

export interface RestorerHost {
  send(cmd: SkCmd): void;
  sock(id: SkId): StreamSock | undefined;
  /** The sockets that TCP has heard of. */
  live(): StreamSock[];
  readonly loose: LooseRecords;
  arm(t: Timed, at: Millis): void;
}

/**
 * Gives a TCP that was started anew what the one before it had: listeners first, then connections, those that wait for an ACK
 * before the others, then half-open ones and TIME-WAITs. Each is said again until it is answered; then TCP hears that this was
 * all.
 */
export class Restorer implements Timed {
  timerAt: Millis = NEVER;
  heapAt: Millis = NEVER;
  private readonly host: RestorerHost;
  /** In reverse order. */
  private queue: SkId[] = [];
  private readonly pending = new Set<SkId>();
  private running = false;
  /** The TCP that is being told. */
  private to = 0;

  constructor(host: RestorerHost) {
    this.host = host;
  }

  /** A TCP asks whether there is anything. While it is on its way, that is the answer. */
  onHello(from: number, now: Millis): void {
    if (from === this.to) {
      if (!this.running) this.end();
      return;
    }
    this.to = from;
    this.start(this.host.live(), now);
  }

  private start(socks: StreamSock[], now: Millis): void {
    for (const s of socks) s.restoring = true;
    const first = (s: StreamSock): number =>
      s.state === TCP_LISTEN || s.state === TCP_CLOSE ? 0 : s.snd.queue.length > 0 ? 1 : 2;
    const byNeed = socks.toSorted((a, b) => first(a) - first(b)).map((s) => s.id);
    this.queue = [...byNeed, ...this.host.loose.ids(now)].toReversed();
    this.pending.clear();
    this.running = true;
    this.sendMore(now);
  }

  /** It was answered, or is no more. */
  done(id: SkId, now: Millis): void {
    if (this.running && this.pending.delete(id)) this.sendMore(now);
  }

  onTimer(now: Millis): void {
    for (const id of this.pending) if (!this.sendOne(id, now)) this.pending.delete(id);
    this.sendMore(now);
  }

  private sendMore(now: Millis): void {
    while (this.pending.size < PENDING_MAX && this.queue.length > 0) {
      const id = this.queue.pop()!;
      if (this.sendOne(id, now)) this.pending.add(id);
    }
    if (this.pending.size > 0) {
      this.host.arm(this, now + REPEAT_MIN_MS);
      return;
    }
    this.running = false;
    this.timerAt = NEVER;
    this.end();
  }

  private sendOne(id: SkId, now: Millis): boolean {
    const s = this.host.sock(id);
    if (s !== undefined) return s.restoring && s.sendRestore(this.to);
    const cmd = this.host.loose.restoreCmd(id, this.to, now);
    if (cmd !== undefined) this.host.send(cmd);
    return cmd !== undefined;
  }

  private end(): void {
    this.host.send({ sk: 0, opSeq: 0, restoreEnd: this.to });
  }
}
