import { connect, createServer } from 'node:net';
import { type Door, net } from '@skbus/net';
import type { Stream } from './connection.ts';
import type { Listening, Place, World } from './proxy.ts';

export interface WorldOptions {
  /** To the stack's sockets. */
  door: Door;
  /** The stack's own addresses. */
  addresses: readonly string[];
  random?: () => number;
}

/** Sockets of this machine and of the stack. */
export function realWorld({ door, addresses, random = Math.random }: WorldOptions): World {
  return {
    chance: random,
    isStack: (host) => addresses.includes(host),
    listen: (at, onConnection) => {
      const server = at.stack
        ? net.createServer({ door, allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, onConnection)
        : createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, onConnection);
      return listening(server as ReturnType<typeof createServer>, at);
    },
    dial: ({ stack, host, port }): Stream => {
      if (!stack) return connect({ host, port, allowHalfOpen: true, noDelay: true });
      const s = new net.Socket({ door, allowHalfOpen: true });
      s.connect({ host, port, noDelay: true });
      return s;
    },
  };
}

function listening(server: ReturnType<typeof createServer>, { host, port }: Place): Promise<Listening> {
  return new Promise((resolve, reject) => {
    server.once('error', (e: NodeJS.ErrnoException) =>
      reject(e.code === 'EADDRINUSE' ? new Error('bind: address already in use') : e),
    );
    server.listen({ port, ...(host === '' ? {} : { host }) }, () => {
      server.removeAllListeners('error');
      server.on('error', () => {});
      const at = server.address() as { address: string; port: number };
      resolve({
        host: at.address.includes(':') ? `[${at.address}]` : at.address,
        port: at.port,
        close: () => new Promise((closed) => void server.close(() => closed())),
      });
    });
  });
}
