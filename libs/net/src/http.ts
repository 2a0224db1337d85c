import { Agent, type AgentOptions, type ClientRequestArgs, type Server as HttpServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import type { Door } from './door.ts';
import { Server } from './server.ts';
import { Socket, connect } from './socket.ts';

class StackAgent extends Agent {
  private readonly door: Door | undefined;

  constructor(options: AgentOptions & { door?: Door }) {
    super(options);
    this.door = options.door;
  }

  override createConnection(options: ClientRequestArgs): Duplex {
    return connect({
      port: options.port ?? 80,
      host: options.host ?? options.hostname ?? '127.0.0.1',
      ...(this.door ? { door: this.door } : {}),
      ...(options.timeout ? { timeout: options.timeout } : {}),
    });
  }
}

/** An agent for `http.request({ agent })` whose connections go through the stack. */
export function httpAgent(options: AgentOptions & { door?: Door } = {}): Agent {
  return new StackAgent(options);
}

/** What undici's `connect` hook is called with. */
export interface ConnectorOptions {
  hostname: string;
  port: string;
  protocol: string;
  servername?: string | undefined;
}

type ConnectorDone = (err: Error | null, socket: Duplex | null) => void;

/**
 * The `connect` function for undici: `fetch(url, { dispatcher: new Agent({ connect: connector() }) })` goes through the
 * stack, https too.
 */
export function connector(
  options: { door?: Door; timeoutMs?: number } = {},
): (o: ConnectorOptions, done: ConnectorDone) => void {
  return (o, done) => {
    const tls = o.protocol === 'https:';
    const socket = new Socket(options.door ? { door: options.door } : {});
    let answered = false;
    const answer: ConnectorDone = (err, s) => {
      if (answered) return;
      answered = true;
      clearTimeout(timer);
      done(err, s);
    };
    const timer = setTimeout(() => {
      socket.destroy();
      answer(Object.assign(new Error(`connect timeout ${o.hostname}`), { code: 'UND_ERR_CONNECT_TIMEOUT' }), null);
    }, options.timeoutMs ?? 30_000);
    socket.once('error', (e) => answer(e, null));
    socket.connect(
      { port: o.port || (tls ? 443 : 80), host: o.hostname.replace(/^\[|\]$/g, ''), noDelay: true },
      () => {
        if (!tls) return answer(null, socket);
        const secure = tlsConnect({ socket, servername: o.servername ?? o.hostname, ALPNProtocols: ['http/1.1'] });
        secure.once('secureConnect', () => answer(null, secure));
        secure.once('error', (e) => answer(e, null));
      },
    );
  };
}

/** Lets a `http.Server` (or anything that takes 'connection') serve a port of the stack. Returns the listening server. */
export function serveHttp(http: HttpServer, port: number, options: { host?: string; door?: Door } = {}): Server {
  const server = new Server({ noDelay: true, ...(options.door ? { door: options.door } : {}) }, (socket) =>
    http.emit('connection', socket),
  );
  return server.listen({ port, ...(options.host ? { host: options.host } : {}) });
}
