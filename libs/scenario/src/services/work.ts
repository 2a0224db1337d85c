import { dgram, net, UnixDoor } from '@skbus/net';
import { ERRNO, errnoName } from '@skbus/skb';
import type { Workload } from '../plan.ts';
import type { StackApi } from './api.ts';
import { runClient, type Datagrams, type Seen } from './client.ts';
import type { Peer } from './peer.ts';

const PING_TIMEOUT_MS = 10_000;

/** A program over the stack's sockets: this process. */
export async function runOnStack(sock: string, w: Workload, to: string, see: (s: Seen) => void): Promise<void> {
  const door = new UnixDoor(sock);
  await door.opened();
  try {
    await runClient(
      w,
      to,
      {
        connect: (host, port) => net.connect({ host, port, door }),
        datagrams: (host, port) =>
          new Promise((resolve, reject) => {
            const s = dgram.createSocket({ type: 'udp4', door });
            s.connect(port, host, (e) => (e ? reject(e) : resolve(s as unknown as Datagrams)));
          }),
      },
      see,
    );
  } finally {
    door.close();
  }
}

/** ping(8) says of an error what a program is told by its errno. */
const ERRORS: readonly (readonly [RegExp, string])[] = [
  [/Destination Port Unreachable/, 'ECONNREFUSED'],
  [/Destination Net Unreachable|Network is unreachable/, 'ENETUNREACH'],
  [/Frag(?:mentation)? needed/i, 'EMSGSIZE'],
  [/Destination Protocol Unreachable/, 'ENOPROTOOPT'],
  [/Unreachable|exceeded/, 'EHOSTUNREACH'],
];

export async function pingByPeer(peer: Peer, w: Workload, to: string, see: (s: Seen) => void): Promise<void> {
  const args = ['-n', '-c', String(w.count), '-i', String(Math.max(w.everyMs, 2) / 1000), '-W', '10', to];
  await peer.run('ping', args, (line) => {
    const time = /time=([\d.]+) ms/.exec(line);
    if (time !== null) see({ kind: 'reply', rttMs: Number(time[1]) });
    const error = ERRORS.find(([text]) => text.test(line));
    if (error !== undefined) see({ kind: 'error', name: error[1] });
  });
}

export async function pingByStack(api: StackApi, w: Workload, to: string, see: (s: Seen) => void): Promise<void> {
  const one = async (seq: number): Promise<void> => {
    const body = { address: to, id: process.pid & 0xffff, seq, size: 56, ttl: 64, timeoutMs: PING_TIMEOUT_MS };
    const r = await api.send<{ errno: number; rttMs: number }>('POST', '/ping', body);
    if (r.errno === 0) see({ kind: 'reply', rttMs: r.rttMs });
    else if (r.errno !== ERRNO.ETIMEDOUT) see({ kind: 'error', name: errnoName(r.errno) });
  };
  const all: Promise<void>[] = [];
  for (let i = 0; i < w.count; i++) {
    if (i > 0) await new Promise((r) => setTimeout(r, w.everyMs));
    // the API says that a layer is away: that, too, is no answer
    all.push(one(i + 1).catch(() => {}));
  }
  await Promise.all(all);
}
