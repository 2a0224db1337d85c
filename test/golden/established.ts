import { macOfAddress } from '@skbus/dev';
import { NUD_PERMANENT } from '@skbus/skb';
import { twoHosts, type Two } from '@skbus/sim';

/** Two hosts that need no ARP: each has the other as a permanent neighbour, so packets go by neigh_hh_output. */
export function neighbours(): Two {
  const two = twoHosts();
  for (const [h, peer] of [
    [two.a, two.b],
    [two.b, two.a],
  ] as const) {
    h.shells.neigh.run((now) => h.neigh.set(2, peer.addr, macOfAddress(peer.addr), NUD_PERMANENT, now));
  }
  two.net.runFor(0);
  return two;
}

export interface Established extends Two {
  /** On a, the client; and on b. */
  fdA: number;
  fdB: number;
}

/** A connection from a to port 80 of b over which a byte went each way; nothing is on its way; tracing begins now. */
export function established(): Established {
  const two = neighbours();
  const { net, a, b, onA, onB } = two;
  let fdB = -1;
  onB.serve(80, (fd) => (fdB = fd));
  const { fd: fdA } = onA.connect(b.addr, 80);
  net.runUntilIdle();
  const one = [Uint8Array.of(1)];
  onA.must({ call: 'sendto', fd: fdA, data: one, flags: 0, to: undefined });
  onB.must({ call: 'recvfrom', fd: fdB, len: 1, flags: 0 });
  onB.must({ call: 'sendto', fd: fdB, data: one, flags: 0, to: undefined });
  onA.must({ call: 'recvfrom', fd: fdA, len: 1, flags: 0 });
  net.runUntilIdle();
  for (const h of [a, b]) h.trace();
  return { ...two, fdA, fdB };
}
