import { NEVER, type Millis, type SkAdopt } from '@skbus/skb';
import { opAnswer, type UdpContext } from './context.ts';
import type { UdpSock } from './sock.ts';

/** The death of the socket layer, as UDP sees it (docs/adr/0010-gateway-death.md): what comes meanwhile waits for the next one. */

/** How long a new socket layer has, as with TCP. */
const ADOPT_MS: Millis = 10_000;

/** Another socket layer speaks. What has no owner went with the one before it. */
export function detachAll(cx: UdpContext): void {
  for (const sk of Array.from(cx.socks.values())) {
    if (sk.owner === 0) {
      drop(cx, sk);
      continue;
    }
    sk.detach();
    cx.adoptUntilMs = cx.now + ADOPT_MS;
  }
}

/** A socket layer says where it is with this socket, and has not asked for it: it was not dead, somebody spoke in its name. */
export function reattach(cx: UdpContext, sk: UdpSock): void {
  for (const dgram of sk.held ?? []) cx.emit({ sk: sk.id, ...opAnswer(sk), dgram });
  sk.held = undefined;
  cx.touch(sk);
}

/** Nobody came for these. */
export function abandonDetached(cx: UdpContext): void {
  cx.adoptUntilMs = NEVER;
  for (const sk of Array.from(cx.socks.values())) if (sk.held !== undefined) drop(cx, sk);
}

/** SkAdopt. May be asked twice: the datagrams come once. */
export function adopt(cx: UdpContext, sk: UdpSock, a: SkAdopt): void {
  if (a.owner !== sk.owner || sk.owner === 0) {
    cx.emit({ sk: sk.id, opAck: 0, opErrno: 0, unknown: true });
    return;
  }
  if (sk.opBusy) return;
  const held = sk.held ?? [];
  sk.held = undefined;
  const base = { sk: sk.id, ...opAnswer(sk) };
  const rcvFrom = held[0]?.offset ?? sk.rcvOffset;
  cx.emit({ ...base, view: sk.view(0), adopted: { orphan: false, rcvFrom } });
  for (const dgram of held) cx.emit({ ...base, dgram });
  if (sk.err !== 0) cx.touch(sk);
}

function drop(cx: UdpContext, sk: UdpSock): void {
  sk.closed = true;
  cx.table.remove(sk);
  cx.socks.delete(sk.id);
}
