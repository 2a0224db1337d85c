import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Socket as TcpSocket } from 'node:net';
import { type Door, net } from '@skbus/net';
import type { Admission, Place } from './admission.ts';
import { listenOn } from './listen-on.ts';
import { relay } from './relay.ts';

/** A client that does not get through its request in this time is hung up on. */
const HEADERS_MS = 10_000;

const CODE: Record<string, string> = { ETIMEDOUT: '504 Gateway Timeout' };

/** HTTP CONNECT (RFC 9110 9.3.6) on a loopback port: `curl -p -x 127.0.0.1:3128` goes out through the stack. */
export class HttpConnectDoor {
  private readonly server: Server;
  private readonly places = new WeakMap<object, Place>();

  constructor(door: Door, admission: Admission) {
    this.server = createServer({ headersTimeout: HEADERS_MS, connectionsCheckingInterval: 1_000 }, (_req, res) => {
      res.writeHead(405, { 'content-type': 'text/plain', allow: 'CONNECT' });
      res.end('This proxy only does CONNECT; with curl: -p (--proxytunnel).\n');
    });
    this.server.on('connection', (client: TcpSocket) => {
      const place = admission.enter();
      if (place === undefined)
        return answer(client, '503 Service Unavailable', 'too many connections: try again later');
      this.places.set(client, place);
      client.once('close', () => place.left());
    });
    this.server.on('connect', (req, client, head) => this.onConnect(door, req, client as TcpSocket, head));
  }

  listen(port: number, host: string): Promise<void> {
    return listenOn(this.server, port, host, 'HTTP CONNECT');
  }

  close(): void {
    this.server.close();
  }

  private onConnect(door: Door, req: IncomingMessage, client: TcpSocket, head: Buffer): void {
    client.on('error', () => {});
    // Refused above, and still heard by the server.
    if (!this.places.has(client)) return;
    const target = /^([^:[\]]+):(\d{1,5})$/.exec(req.url ?? '');
    if (target === null || Number(target[2]) > 65_535)
      return answer(client, '400 Bad Request', 'CONNECT wants HOST:PORT (IPv4 or a name)');
    const out = new net.Socket({ door, allowHalfOpen: true });
    const failed = (e: NodeJS.ErrnoException): void =>
      answer(client, CODE[e.code ?? ''] ?? '502 Bad Gateway', e.message);
    const gone = (): void => void out.destroy();
    out.once('error', failed);
    client.once('close', gone);
    out.connect({ port: Number(target[2]), host: target[1], noDelay: true }, () => {
      out.removeListener('error', failed);
      client.removeListener('close', gone);
      if (client.destroyed) {
        out.destroy();
        return;
      }
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      this.places.get(client)?.opened();
      if (head.length > 0) client.unshift(head);
      relay(client, out);
    });
  }
}

function answer(client: TcpSocket, status: string, text: string): void {
  client.end(
    `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(text) + 1}\r\nConnection: close\r\n\r\n${text}\n`,
  );
}
