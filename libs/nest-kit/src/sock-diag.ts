import { pb } from '@skbus/contracts';

/** Rows of one reply; a row is about 1 KiB of JSON, a message at most 8 MiB. */
const PAGE = 1_000;

/**
 * The verb `sock_diag` of a service: a page of its sockets. As with netlink's dumps, what comes and goes between two pages
 * may be missing or told twice.
 */
export function sockDiagReply(request: Uint8Array, rows: (sk: number) => readonly unknown[]): Uint8Array {
  const { sk, skip } = pb.SockDiagRequest.decode(request);
  const all = rows(sk);
  const next = skip + PAGE;
  const json = JSON.stringify(all.slice(skip, next));
  return pb.SockDiagReply.encode({ json, next: next < all.length ? next : 0 }).finish();
}
