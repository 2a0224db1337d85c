import { type Millis, NEVER, type ProtoView } from '@skbus/skb';
import { SendQueue } from './send-queue.ts';
import { TCP_SNDBUF, TCP_SNDBUF_MAX } from './uapi.ts';

/** The longest piece of stream in one message. */
const DATA_MAX = 256 * 1024;
/** TCP_CORK's and MSG_MORE's patience (net/ipv4/tcp.c). */
const MORE_MS: Millis = 200;
const MSS_GUESS = 1460;

/** The sending half of a stream: written bytes until they are acknowledged, and how far TCP has them. */
export class SendSide {
  readonly queue = new SendQueue();
  bufBytes = TCP_SNDBUF;
  /** SO_SNDBUF was set: no growth (SOCK_SNDBUF_LOCK). */
  bufLocked = false;
  /** MSG_MORE holds the tail back until then. */
  moreUntil: Millis = NEVER;
  /** As TCP confirmed, as sent to it, and as it allows. */
  private got = 0;
  private sent = 0;
  private limit = 0;
  private sentMax = 0;
  /** Only one piece at a time until TCP shows that it takes them again. */
  private probing = false;

  /** Room in the send buffer; grows it when TCP has taken everything there is. */
  space(): number {
    const space = this.bufBytes - this.queue.length;
    if (space > 0 || this.bufLocked || this.bufBytes >= TCP_SNDBUF_MAX) return space;
    if (this.got < this.queue.end && this.limit - this.queue.una <= this.bufBytes / 2) return space;
    this.bufBytes = Math.min(this.bufBytes * 2, TCP_SNDBUF_MAX);
    return this.bufBytes - this.queue.length;
  }

  /** sk_stream_is_writeable(): a third of the buffer is free, so that writers don't wake for crumbs. */
  get writable(): boolean {
    return this.bufBytes - this.queue.length >= this.queue.length / 2;
  }

  /** Unacknowledged, and not yet with TCP (SIOCOUTQ, SIOCOUTQNSD). */
  get outq(): { unacked: number; unsent: number } {
    return { unacked: this.queue.length, unsent: this.queue.end - this.got };
  }

  write(data: Uint8Array, more: boolean, now: Millis): void {
    this.queue.append(data);
    this.moreUntil = more ? now + MORE_MS : NEVER;
  }

  /** What TCP may know of the written bytes: with MSG_MORE, whole segments only. */
  get visible(): number {
    if (this.moreUntil === NEVER) return this.queue.end;
    return this.queue.end - ((this.queue.end - this.sentMax) % MSS_GUESS);
  }

  /** Hands out what TCP takes now, piece by piece; true if some of it was never sent before. */
  emit(now: Millis, send: (offset: number, data: Uint8Array) => void): boolean {
    if (this.moreUntil <= now) this.moreUntil = NEVER;
    const to = Math.min(this.visible, this.limit);
    let fresh = false;
    while (this.sent < to) {
      const data = this.queue.view(this.sent, Math.min(DATA_MAX, to - this.sent));
      if (data === undefined) break;
      const offset = this.sent;
      this.sent += data.length;
      if (this.sent > this.sentMax) {
        this.sentMax = this.sent;
        fresh = true;
      }
      send(offset, data);
      if (this.probing) break;
    }
    return fresh;
  }

  /** Nothing moved for a while: what TCP has not confirmed may be lost. */
  rewind(): void {
    if (this.sent <= this.got) return;
    this.sent = this.got;
    this.probing = true;
  }

  /** Takes TCP's offsets, as far as they can be true; says whether anything moved, and whether room was made. */
  onView(v: ProtoView): { moved: boolean; freed: boolean } {
    let moved = false;
    if (v.sndGot > this.got && v.sndGot <= this.sentMax) {
      this.got = v.sndGot;
      if (this.sent < v.sndGot) this.sent = v.sndGot;
      this.probing = false;
      moved = true;
    }
    if (v.sndLimit > this.limit) {
      this.limit = v.sndLimit;
      moved = true;
    }
    const freed = v.sndUna <= this.sentMax && this.queue.free(v.sndUna);
    return { moved: moved || freed, freed };
  }

  /** A new connection starts at byte 0. */
  reset(): void {
    this.queue.clear();
    this.queue.una = this.queue.end = 0;
    this.got = this.sent = this.limit = this.sentMax = 0;
    this.probing = false;
    this.moreUntil = NEVER;
  }
}
