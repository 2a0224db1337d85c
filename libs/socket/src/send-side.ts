import type { ProtoView, SkData } from '@skbus/skb';
import { SendQueue } from './send-queue.ts';
import { TCP_SNDBUF } from './uapi.ts';

/** The longest piece of stream in one message. */
const DATA_MAX = 256 * 1024;

/** The sending half of a stream: written bytes until they are acknowledged, and how far TCP has them. */
export class SendSide {
  readonly queue = new SendQueue();
  bufBytes = TCP_SNDBUF;
  /** SO_SNDBUF was set: no growth (SOCK_SNDBUF_LOCK). */
  bufLocked = false;
  /** TCP_NOTSENT_LOWAT; 0: not set. */
  lowat = 0;
  /** Somebody found no room and waits for some (SOCK_NOSPACE). */
  noSpace = false;
  /** The last write had MSG_MORE: TCP holds back a segment that is not full. */
  more = false;
  /** Where records end that are not acknowledged yet (MSG_EOR). */
  private eors: number[] = [];
  /** Written up to here as far as the program knows; the bytes may be on their way from it again (refill). */
  owed = 0;
  /** As TCP confirmed, as sent to it, and as it allows. */
  private got = 0;
  private sent = 0;
  private limit = 0;
  /** The most that TCP was ever given. */
  sentMax = 0;
  /** As TCP has sent it. */
  private nxt = 0;
  /** Only one piece at a time until TCP shows that it takes them again. */
  private probing = false;

  /** Of the segments that a write makes: see ProtoView. */
  private goal = 0;
  private burst = 0;

  /**
   * Room in the send buffer. A write goes on as long as there is room for a byte and less than TCP_NOTSENT_LOWAT is unsent, and
   * fills the skb that it began (tcp_sendmsg_locked).
   */
  space(): number {
    let space = this.bufBytes - this.queue.length;
    if (space > 0 && this.goal > 0 && space > this.burst)
      space = this.burst + Math.ceil((space - this.burst) / this.goal) * this.goal;
    if (this.lowat === 0) return space;
    const skb = Math.max(1, this.goal);
    const filled = Math.ceil(Math.max(this.notsent, this.lowat) / skb) * skb;
    return Math.min(space, this.burst + filled - this.notsent);
  }

  /**
   * __sk_stream_is_writeable(): a third of the buffer is free, so that writers don't wake for crumbs, and less than half of
   * TCP_NOTSENT_LOWAT is unsent (tcp_stream_memory_free with wake).
   */
  get writable(): boolean {
    if (this.lowat > 0 && this.notsent * 2 >= this.lowat) return false;
    return this.bufBytes - this.queue.length >= this.queue.length / 2;
  }

  private get notsent(): number {
    return this.queue.end - this.nxt;
  }

  /** Unacknowledged, and not yet with TCP (SIOCOUTQ, SIOCOUTQNSD). */
  get outq(): { unacked: number; unsent: number } {
    return { unacked: this.queue.length, unsent: this.queue.end - this.got };
  }

  write(data: Uint8Array, more: boolean): void {
    this.queue.append(data);
    this.burst = Math.max(0, this.burst - data.length);
    this.more = more;
  }

  /** What was written so far is a record: TCP adds nothing to its last segment. */
  endRecord(): void {
    if (this.queue.length > 0 && this.eors.at(-1) !== this.queue.end) this.eors.push(this.queue.end);
  }

  /** The first bytes went with the SYN. */
  wroteWithSyn(data: Uint8Array): void {
    this.queue.append(data);
    this.got = this.sent = this.sentMax = this.queue.end;
  }

  /** Hands out what TCP takes now, piece by piece. */
  emit(send: (data: SkData) => void): void {
    const to = Math.min(this.queue.end, this.limit);
    while (this.sent < to) {
      const eor = this.eors.length > 0 ? this.eors.find((at) => at > this.sent) : undefined;
      const data = this.queue.view(
        this.sent,
        Math.min(DATA_MAX, (eor === undefined || eor > to ? to : eor) - this.sent),
      );
      if (data === undefined) break;
      const offset = this.sent;
      this.sent += data.length;
      this.sentMax = Math.max(this.sentMax, this.sent);
      const piece: SkData = { offset, data };
      if (this.more && this.sent === this.queue.end) piece.more = true;
      if (this.sent === eor) piece.eor = true;
      send(piece);
      if (this.probing) break;
    }
  }

  /** Nothing moved for a while: what TCP has not confirmed may be lost. */
  rewind(): void {
    if (this.sent <= this.got) return;
    this.sent = this.got;
    this.probing = true;
  }

  /** Another TCP has it now, and none of the bytes. */
  restart(): void {
    this.got = this.sent = this.queue.una;
    this.probing = false;
    this.goal = this.burst = 0;
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
    const nxt = Math.min(v.sndNxt ?? v.sndGot, this.sentMax);
    if (nxt > this.nxt) {
      this.nxt = nxt;
      moved = true;
    }
    // as large as TCP finds that the path needs (tcp_sndbuf_expand)
    if (!this.bufLocked && (v.sndbuf ?? 0) > this.bufBytes) this.bufBytes = v.sndbuf!;
    this.goal = v.sndGoal ?? 0;
    if (v.sndGot === this.queue.end) this.burst = v.sndBurst ?? 0;
    const freed = v.sndUna <= this.sentMax && this.queue.free(v.sndUna);
    while (this.eors.length > 0 && this.eors[0]! <= this.queue.una) this.eors.shift();
    return { moved: moved || freed, freed: freed || (this.lowat > 0 && moved) };
  }

  /** All that the program has written. */
  get writtenTo(): number {
    return Math.max(this.queue.end, this.owed);
  }

  /** Bytes in flight, from TCP to a socket layer that takes over. */
  regain({ offset, data }: SkData): void {
    if (this.queue.length === 0) this.queue.startAt(offset);
    if (offset === this.queue.end) this.queue.append(data);
  }

  /** TCP's offsets, when all in flight is here. `over`: nothing is, any more. False: some of it got lost on the way. */
  adopt(v: ProtoView, over: boolean): boolean {
    const { queue } = this;
    if (over || v.sndUna === v.sndGot) queue.startAt(v.sndGot);
    else if (queue.una !== v.sndUna || queue.end !== v.sndGot) {
      queue.startAt(0);
      return false;
    }
    this.got = this.sent = this.sentMax = v.sndGot;
    this.nxt = Math.min(v.sndNxt ?? v.sndGot, v.sndGot);
    this.limit = v.sndLimit;
    return true;
  }

  /** Bytes from `offset` on that the program keeps for the case that TCP did not get them. */
  refill(offset: number, data: Uint8Array): void {
    const skip = this.queue.end - offset;
    if (skip >= 0 && skip < data.length) this.queue.append(skip === 0 ? data : data.subarray(skip));
  }

  /** TCP has all bytes below. */
  get gotTo(): number {
    return this.got;
  }

  /** A new connection starts at byte 0. */
  reset(): void {
    this.queue.startAt(0);
    this.eors = [];
    this.got = this.sent = this.limit = this.sentMax = this.nxt = this.owed = 0;
    this.probing = false;
    this.more = this.noSpace = false;
  }
}
