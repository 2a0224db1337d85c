import type { Program } from '../sim/program.ts';
import { twoHosts, type Two } from '../sim/topologies.ts';

export interface Established extends Two {
  /** On a, the client; and on b. */
  fdA: number;
  fdB: number;
}

/** A connection from a to port 80 of b, with both neighbours known and nothing on its way; tracing begins now. */
export function established(): Established {
  const two = twoHosts();
  const { net, a, b, onA, onB } = two;
  let fdB = -1;
  onB.serve(80, (fd) => (fdB = fd));
  const { fd: fdA } = onA.connect(b.addr, 80);
  net.runUntilIdle();
  warm(two, onA, fdA, onB, fdB);
  for (const h of [a, b]) {
    h.hits.length = 0;
    h.trace();
  }
  return { ...two, fdA, fdB };
}

/** A byte each way: both hosts have a fresh neighbour entry and nothing left to say. */
function warm({ net }: Two, onA: Program, fdA: number, onB: Program, fdB: number): void {
  const one = [Uint8Array.of(1)];
  onA.must({ call: 'sendto', fd: fdA, data: one, flags: 0, to: undefined });
  onB.must({ call: 'recvfrom', fd: fdB, len: 1, flags: 0 });
  onB.must({ call: 'sendto', fd: fdB, data: one, flags: 0, to: undefined });
  onA.must({ call: 'recvfrom', fd: fdA, len: 1, flags: 0 });
  net.runUntilIdle();
  // The neighbour timers that the first packets started have run by then.
  net.runFor(7_000);
  net.runUntilIdle();
}
