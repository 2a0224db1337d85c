import { createServer, isIPv6, type Server, type Socket as TcpSocket } from 'node:net';
import { Socks5Server } from '@pondwader/socks5-server';
import { type Door, net } from '@skbus/net';
import type { Admission, Place } from './admission.ts';
import { listenOn } from './listen-on.ts';
import { relay } from './relay.ts';

/** A client that does not get through its greeting in this time is hung up on. */
const GREETING_MS = 10_000;

/** RFC 1928 reply codes, in the library's words. */
type Status =
  | 'REQUEST_GRANTED'
  | 'GENERAL_FAILURE'
  | 'NETWORK_UNREACHABLE'
  | 'HOST_UNREACHABLE'
  | 'CONNECTION_REFUSED'
  | 'TTL_EXPIRED'
  | 'ADDRESS_TYPE_NOT_SUPPORTED'
  | 'COMMAND_NOT_SUPPORTED';

const STATUS: Record<string, Status> = {
  ECONNREFUSED: 'CONNECTION_REFUSED',
  EHOSTUNREACH: 'HOST_UNREACHABLE',
  EHOSTDOWN: 'HOST_UNREACHABLE',
  ENOTFOUND: 'HOST_UNREACHABLE',
  EAI_AGAIN: 'HOST_UNREACHABLE',
  ENETUNREACH: 'NETWORK_UNREACHABLE',
  ENETDOWN: 'NETWORK_UNREACHABLE',
  ETIMEDOUT: 'TTL_EXPIRED',
};

/** SOCKS5 on a loopback port: `curl --socks5-hostname 127.0.0.1:1080` goes out through the stack. */
export class SocksDoor {
  private readonly server: Server;

  constructor(door: Door, admission: Admission) {
    const places = new WeakMap<object, Place>();
    const socks = new Socks5Server();
    socks.setConnectionHandler((client, sendStatus) => {
      const tcp = client.socket as TcpSocket;
      // The library resumes the client as soon as this returns; what it says first must wait for the other side.
      process.nextTick(() => tcp.pause());
      tcp.setTimeout(0);
      tcp.on('error', () => {});
      if (client.command !== 'connect') return sendStatus('COMMAND_NOT_SUPPORTED');
      if (isIPv6(client.destAddress)) return sendStatus('ADDRESS_TYPE_NOT_SUPPORTED');
      const out = new net.Socket({ door, allowHalfOpen: true });
      const failed = (e: NodeJS.ErrnoException): void => {
        tcp.resume();
        sendStatus(STATUS[e.code ?? ''] ?? 'GENERAL_FAILURE');
      };
      out.once('error', failed);
      const gone = (): void => void out.destroy();
      tcp.once('close', gone);
      out.connect({ port: client.destPort, host: client.destAddress, noDelay: true }, () => {
        out.removeListener('error', failed);
        tcp.removeListener('close', gone);
        if (tcp.destroyed) {
          out.destroy();
          return;
        }
        sendStatus('REQUEST_GRANTED');
        places.get(tcp)?.opened();
        relay(tcp, out);
      });
    });
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (tcp) => {
      const place = admission.enter();
      if (place === undefined) {
        tcp.on('error', () => {});
        tcp.resetAndDestroy();
        return;
      }
      places.set(tcp, place);
      tcp.once('close', () => place.left());
      tcp.setTimeout(GREETING_MS, () => tcp.destroy());
      // Half-open is for the relay; a client that hangs up in its greeting is gone.
      tcp.once('end', () => tcp.listenerCount('error') <= 1 && tcp.end());
      socks._handleConnection(tcp);
    });
  }

  listen(port: number, host: string): Promise<void> {
    return listenOn(this.server, port, host, 'SOCKS5');
  }

  close(): void {
    this.server.close();
  }
}
