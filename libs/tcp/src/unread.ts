import type { ProtoData } from '@skbus/skb';
import { SendQueue } from './send-queue.ts';
import type { TcpSock } from './sock.ts';

/** A short piece that would keep a much larger message alive is copied out of it. */
const COPY_BELOW = 4096;
/** The longest piece in one message. */
const PIECE_MAX = 256 * 1024;

/** A piece is with the socket layer: it is kept as far as the program has not read it, for the next socket layer. */
export function keepUnread(sk: TcpSock, { offset, data }: ProtoData, read: number): void {
  if (offset + data.length <= read) return;
  const q = (sk.unread ??= new SendQueue());
  if (q.end !== offset) {
    // what lies between was read before it was confirmed
    q.dropTo(q.end);
    q.start = q.end = offset;
  }
  const copy = data.length < COPY_BELOW && data.buffer.byteLength > 4 * data.length;
  q.append(copy ? data.slice() : data);
}

/** The same from the socket layer, of bytes that a TCP before this one had received: what is not next comes too late. */
export function takeUnread(sk: TcpSock, piece: ProtoData): void {
  const { unread } = sk;
  const next = unread === undefined ? piece.offset >= sk.rcvRead - 1 : piece.offset === unread.end;
  if (sk.owner === 0 || !next || 1 + piece.offset + piece.data.length > sk.rcvAck) return;
  keepUnread(sk, piece, sk.rcvRead - 1);
}

/** The program has read it. */
export function dropRead(sk: TcpSock): void {
  const q = sk.unread;
  if (q === undefined) return;
  q.dropTo(Math.min(sk.rcvRead - 1, q.end));
  // an idle connection keeps nothing
  if (q.length === 0) sk.unread = undefined;
}

/** All of it, in pieces for messages. */
export function* unreadPieces(q: SendQueue): Generator<ProtoData> {
  for (let offset = q.start; offset < q.end;) {
    const data = joinedSlice(q, offset, Math.min(PIECE_MAX, q.end - offset));
    yield { offset, data };
    offset += data.length;
  }
}

/** [from, from + n) as one piece. */
export function joinedSlice(q: SendQueue, from: number, n: number): Uint8Array {
  const parts: Uint8Array[] = [];
  q.slice(from, n, parts);
  if (parts.length === 1) return parts[0]!;
  const all = new Uint8Array(n);
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}
