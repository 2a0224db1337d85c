import { EventEmitter } from 'node:events';
import { AF_INET, SOCK_STREAM, SOL_SOCKET, SOL_TCP, SO_REUSEADDR, TCP_NODELAY, formatIpv4 } from '@skbus/skb';
import { type AddressInfo, checkPort, fromDoorAddr, literal, toDoorAddr } from './address.ts';
import { defaultDoor } from './default-door.ts';
import type { Door, DoorReply } from './door.ts';
import { argError, sysError } from './errors.ts';
import { HandleRef } from './handle-ref.ts';
import { CHUNK, Socket } from './socket.ts';

/** How many accepts sleep in the stack at once: a burst of connections needs no round trip each. */
const PARKED_ACCEPTS = 8;

export interface ServerOptions {
  door?: Door;
  allowHalfOpen?: boolean;
  /** Sockets start paused. */
  pauseOnConnect?: boolean;
  noDelay?: boolean;
  keepAlive?: boolean;
  keepAliveInitialDelay?: number;
}

export interface ListenOptions {
  port?: number | string;
  host?: string;
  backlog?: number;
  signal?: AbortSignal;
}

type ListenArgs =
  | [options: ListenOptions, onListening?: () => void]
  | [port?: number | string, host?: string, backlog?: number, onListening?: () => void]
  | [port?: number | string, host?: string, onListening?: () => void]
  | [port?: number | string, backlog?: number, onListening?: () => void]
  | [port?: number | string, onListening?: () => void];

export type ConnectionListener = (socket: Socket) => void;

/** Node's net.Server on a listening TCP socket of the stack. */
export class Server extends EventEmitter {
  listening = false;
  maxConnections: number | undefined = undefined;
  private readonly options: ServerOptions;
  private door: Door | undefined = undefined;
  private handle: HandleRef | undefined = undefined;
  private unrefed = false;
  private fd = -1;
  private bound: AddressInfo | undefined = undefined;
  private opening = false;
  private readonly sockets = new Set<Socket>();
  private offClose: (() => void) | undefined = undefined;

  constructor(options?: ServerOptions | ConnectionListener, onConnection?: ConnectionListener) {
    super();
    this.options = typeof options === 'object' ? options : {};
    const listener = typeof options === 'function' ? options : onConnection;
    if (listener) this.on('connection', listener);
  }

  listen(...args: ListenArgs): this {
    const { options, onListening } = listenArgs(args);
    const port = checkPort(options.port ?? 0);
    const host = literal(options.host ?? '0.0.0.0');
    if (host === undefined) throw argError(`cannot listen on ${options.host}: give an IPv4 address of the stack`);
    if (this.listening || this.opening)
      throw Object.assign(new Error('Listen method has been called more than once without closing.'), {
        code: 'ERR_SERVER_ALREADY_LISTEN',
      });
    if (onListening) this.once('listening', onListening);
    options.signal?.addEventListener('abort', () => this.close(), { once: true });
    this.opening = true;
    this.door = this.options.door ?? defaultDoor();
    this.handle = new HandleRef(this.door);
    if (this.unrefed) this.handle.unref();
    this.handle.open();
    this.open(this.door, host, port, options.backlog ?? 511);
    return this;
  }

  /** No more connections; 'close' when the last one has ended. */
  close(done?: (err?: Error) => void): this {
    if (done) {
      if (this.listening || this.opening) this.once('close', () => done());
      else this.once('close', () => done(argErrorNotRunning()));
    }
    const { fd, door } = this;
    this.fd = -1;
    this.listening = this.opening = false;
    this.offClose?.();
    if (fd >= 0 && door !== undefined && !door.closed) door.request({ close: { fd } }, undefined, () => this.ended());
    else process.nextTick(() => this.ended());
    return this;
  }

  address(): AddressInfo | null {
    return this.bound ?? null;
  }

  getConnections(done: (err: Error | null, count: number) => void): this {
    process.nextTick(done, null, this.sockets.size);
    return this;
  }

  get connections(): number {
    return this.sockets.size;
  }

  ref(): this {
    this.unrefed = false;
    this.handle?.ref();
    return this;
  }

  unref(): this {
    this.unrefed = true;
    this.handle?.unref();
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.listening) return;
    await new Promise((resolve) => this.close(resolve));
  }

  private open(door: Door, host: number, port: number, backlog: number): void {
    const where = formatIpv4(host);
    const failed = (r: DoorReply, syscall: string, fd: number): void => {
      if (fd >= 0) door.request({ close: { fd } }, undefined, () => {});
      this.opening = false;
      this.handle?.close();
      this.emit('error', sysError(r.errno, syscall, where, port, r.error));
    };
    door.request({ socket: { domain: AF_INET, type: SOCK_STREAM } }, undefined, (s) => {
      if (s.errno !== 0) return failed(s, 'listen', -1);
      const fd = s.result;
      if (!this.opening) {
        door.request({ close: { fd } }, undefined, () => {});
        return;
      }
      door.request(
        { setsockopt: { fd, level: SOL_SOCKET, name: SO_REUSEADDR, value: { num: 1 } } },
        undefined,
        () => {},
      );
      if (this.options.noDelay) {
        // connections inherit it, and none of them has to ask
        const noDelay = { fd, level: SOL_TCP, name: TCP_NODELAY, value: { num: 1 } };
        door.request({ setsockopt: noDelay }, undefined, () => {});
      }
      door.request({ bind: { fd, addr: toDoorAddr(host, port) } }, undefined, (b) => {
        if (b.errno !== 0) return failed(b, 'bind', fd);
        door.request({ listen: { fd, backlog } }, undefined, (l) => {
          if (l.errno !== 0) return failed(l, 'listen', fd);
          if (!this.opening) {
            door.request({ close: { fd } }, undefined, () => {});
            return;
          }
          this.begin(door, fd, fromDoorAddr(b.local) ?? { address: where, family: 'IPv4', port });
        });
      });
    });
  }

  private begin(door: Door, fd: number, bound: AddressInfo): void {
    this.opening = false;
    this.listening = true;
    this.fd = fd;
    this.bound = bound;
    this.offClose = door.onClose((why) => {
      this.fd = -1;
      this.listening = false;
      this.emit('error', sysError(100, 'accept', bound.address, bound.port, why));
      this.ended();
    });
    for (let i = 0; i < PARKED_ACCEPTS; i++) this.park(door, fd);
    this.emit('listening');
  }

  private park(door: Door, fd: number): void {
    door.request({ accept: { fd, recv: CHUNK } }, undefined, (r, data) => {
      if (this.fd !== fd) {
        if (r.errno === 0) door.request({ close: { fd: r.result } }, undefined, () => {});
        return;
      }
      if (r.errno === 0) {
        this.park(door, fd);
        this.onAccept(door, r, data);
        return;
      }
      this.emit('error', sysError(r.errno, 'accept', this.bound?.address, this.bound?.port, r.error));
      // Out of fds: try again when one may be free, rather than never.
      setTimeout(() => this.fd === fd && this.park(door, fd), 100).unref();
    });
  }

  private onAccept(door: Door, r: DoorReply, data: Uint8Array[]): void {
    const local = fromDoorAddr(r.local);
    const remote = fromDoorAddr(r.addr);
    if (this.maxConnections !== undefined && this.sockets.size >= this.maxConnections) {
      door.request({ close: { fd: r.result } }, undefined, () => {});
      this.emit('drop', {
        localAddress: local?.address,
        localPort: local?.port,
        localFamily: 'IPv4',
        remoteAddress: remote?.address,
        remotePort: remote?.port,
        remoteFamily: 'IPv4',
      });
      return;
    }
    const { options } = this;
    const { allowHalfOpen = false, noDelay = false } = options;
    const socket = new Socket({ door, allowHalfOpen }, { fd: r.result, local, remote, noDelay, data });
    if (options.keepAlive) socket.setKeepAlive(true, options.keepAliveInitialDelay);
    this.sockets.add(socket);
    socket.once('close', () => {
      this.sockets.delete(socket);
      this.ended();
    });
    if (options.pauseOnConnect) socket.pause();
    this.emit('connection', socket);
    if (!options.pauseOnConnect && !socket.isPaused()) socket.read(0);
  }

  private ended(): void {
    if (this.listening || this.opening || this.fd >= 0) return;
    this.handle?.close();
    if (this.sockets.size > 0) return;
    this.bound = undefined;
    this.emit('close');
  }
}

export function createServer(options?: ServerOptions | ConnectionListener, onConnection?: ConnectionListener): Server {
  return new Server(options, onConnection);
}

function listenArgs(args: ListenArgs): { options: ListenOptions; onListening: (() => void) | undefined } {
  const [first] = args;
  const last = args.at(-1);
  const onListening = typeof last === 'function' ? (last as () => void) : undefined;
  if (typeof first === 'object' && first !== null) return { options: first, onListening };
  const host = typeof args[1] === 'string' ? args[1] : undefined;
  const backlog = [args[1], args[2]].find((a) => typeof a === 'number');
  return {
    options: {
      ...(typeof first === 'number' || typeof first === 'string' ? { port: first } : {}),
      ...(host === undefined ? {} : { host }),
      ...(backlog === undefined ? {} : { backlog }),
    },
    onListening,
  };
}

function argErrorNotRunning(): Error {
  return Object.assign(new Error('Server is not running.'), { code: 'ERR_SERVER_NOT_RUNNING' });
}
