import { type SkBind, type SkData, type SkRecord, type SkRestore, TCP_LISTEN } from '@skbus/skb';
import type { StreamSock } from './stream-sock.ts';

const NOTHING = new Uint8Array(0);

/** What a stream socket remembers for a TCP that may have to go on after the death of the one it has now. */
export class Kept {
  record: Uint8Array = NOTHING;
  recordSeq = 0;
  /** The shutdowns that TCP has run, as a mask, and whether it has run close(). */
  shutdown = 0;
  closed = false;

  /** True: it is new, and is to be confirmed. */
  take(r: SkRecord): boolean {
    if (r.seq <= this.recordSeq) return false;
    this.recordSeq = r.seq;
    this.record = r.data.slice(); // or the message that brought it would stay, too
    return true;
  }

  /** The socket starts anew. */
  reset(): void {
    this.record = NOTHING;
    this.recordSeq = this.shutdown = 0;
    this.closed = false;
  }
}

/** All of a socket that TCP had heard of, besides its options and its view. */
export function restoreOf(s: StreamSock, to: number, finAcked: boolean, listens: boolean): SkRestore {
  const { kept, oob } = s;
  const r: SkRestore = {
    to,
    opSeq: s.ops.acked,
    record: kept.record,
    state: s.state === TCP_LISTEN && !listens ? 0 : s.state,
    listener: s.parent?.id ?? 0,
    sndUna: s.snd.queue.una,
    sndMax: s.snd.sentMax,
    sndbuf: s.snd.bufBytes,
    shutdown: kept.shutdown,
    closed: kept.closed,
    finAcked,
  };
  const bind = bindOf(s);
  if (bind !== undefined) r.bind = bind;
  if (listens) r.listen = { backlog: s.backlog };
  if (oob !== undefined) {
    r.urgAt = oob.at + 1;
    r.urgByte = oob.byte + 1;
  }
  return r;
}

/** What the program has not read, for TCP to have it, too: offset by offset as it lies in the queue. */
export function unreadOf(s: StreamSock): SkData[] {
  let offset = s.rcvRead;
  return s.rcv.peek(s.rcv.length).map((data) => {
    const piece = { offset, data };
    offset += data.length;
    return piece;
  });
}

/** Where it is bound, if it is. A port of 0: connect() will find one (IP_BIND_ADDRESS_NO_PORT). */
function bindOf(s: StreamSock): SkBind | undefined {
  if (s.lport !== 0) return { addr: s.laddr, port: s.lport };
  return s.boundTo !== undefined && s.options.bindNoPort === true ? s.boundTo : undefined;
}
