import { errnoName } from '@skbus/skb';
import type { ReadProgress } from './program.ts';
import type { Two } from './topologies.ts';

export interface Transfer {
  toServer: ReadProgress;
  toClient: ReadProgress;
  /** Virtual ms from connect() to both ends of file. */
  took: number;
}

/** What a reader that got everything looks like. */
export const whole = (n: number): ReadProgress => ({ got: n, errno: 0, done: true, wrongAt: -1 });

/** `n` bytes each way at once over one connection, both sides closing theirs at the end; then until all is quiet. */
export function transfer({ net, b, onA, onB }: Two, n: number, port = 80): Transfer {
  let toServer: ReadProgress | undefined;
  let accepted = -1;
  onB.serve(port, (fd) => {
    accepted = fd;
    toServer = onB.readAll(fd, 1);
    onB.writeAll(fd, n, 2);
  });
  const started = net.now;
  const { fd, errno } = onA.connect(b.addr, port);
  if (errno !== 0) throw new Error(`connect: ${errnoName(errno)} (seed ${net.seed})`);
  const toClient = onA.readAll(fd, 2);
  onA.writeAll(fd, n, 1);
  net.runUntil(() => toClient.done && toServer?.done === true);
  const took = net.now - started;
  onA.close(fd);
  onB.close(accepted);
  net.runUntilIdle();
  return { toServer: toServer!, toClient, took };
}
