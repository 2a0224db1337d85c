import { Duplex } from 'node:stream';
import {
  AF_INET,
  SHUT_WR,
  SOCK_STREAM,
  SOL_SOCKET,
  SOL_TCP,
  SO_KEEPALIVE,
  SO_LINGER,
  TCP_KEEPIDLE,
  TCP_NODELAY,
  formatIpv4,
} from '@skbus/skb';
import { type AddressInfo, type Lookup, checkPort, fromDoorAddr, literal, resolve, toDoorAddr } from './address.ts';
import { defaultDoor } from './default-door.ts';
import type { Door, DoorReply } from './door.ts';
import { argError, sysError } from './errors.ts';
import { HandleRef } from './handle-ref.ts';
import { IdleTimer } from './idle-timer.ts';

/** How much one read asks for, and how much one write hands over. */
export const CHUNK = 256 * 1024;
/** How many bytes may be on their way to the stack before a write waits to hear that they were taken. */
const AHEAD = 256 * 1024;
/** The answer to a write this short can wait for company. */
const SMALL = 16 * 1024;

export interface SocketOptions {
  /** The door to the stack; the default stack's unless said. */
  door?: Door;
  allowHalfOpen?: boolean;
  readableHighWaterMark?: number;
  writableHighWaterMark?: number;
  signal?: AbortSignal;
}

export interface ConnectOptions extends SocketOptions {
  port: number | string;
  host?: string | undefined;
  localAddress?: string;
  localPort?: number;
  lookup?: Lookup;
  noDelay?: boolean;
  keepAlive?: boolean;
  keepAliveInitialDelay?: number;
  timeout?: number;
}

/** A connection that is there already: what `Server` makes sockets of. */
export interface Accepted {
  fd: number;
  local: AddressInfo | undefined;
  remote: AddressInfo | undefined;
  /** TCP_NODELAY is set: its listener had it. */
  noDelay: boolean;
  /** Received already. */
  data: Uint8Array[];
}

type ConnectArgs =
  | [options: ConnectOptions, onConnect?: () => void]
  | [port: number | string, host?: string, onConnect?: () => void]
  | [port: number | string, onConnect?: () => void];

/** Node's net.Socket on a TCP socket of the stack. */
export class Socket extends Duplex {
  connecting = false;
  remoteAddress: string | undefined = undefined;
  remotePort: number | undefined = undefined;
  remoteFamily: string | undefined = undefined;
  localAddress: string | undefined = undefined;
  localPort: number | undefined = undefined;
  localFamily: string | undefined = undefined;
  bytesRead = 0;
  /** Bytes given to the stack, and those of them that it has not said yet it took. */
  private taken = 0;
  private ahead = 0;
  private readonly door: Door;
  private readonly handle: HandleRef;
  private readonly idle: IdleTimer;
  private fd = -1;
  private recvId = 0;
  private resetting = false;
  /** close() follows on the last write, and says all that shutdown() would. */
  private closing = false;
  private noDelay = false;
  /** What came with the connection, until somebody reads. */
  private first: Uint8Array[] = [];
  private pushing = false;
  private readonly early: (() => void)[] = [];
  private offClose: (() => void) | undefined = undefined;

  constructor(options: SocketOptions = {}, accepted?: Accepted) {
    super({
      allowHalfOpen: options.allowHalfOpen ?? false,
      emitClose: false,
      autoDestroy: true,
      decodeStrings: true,
      readableHighWaterMark: options.readableHighWaterMark ?? CHUNK,
      writableHighWaterMark: options.writableHighWaterMark ?? CHUNK,
      ...(options.signal ? { signal: options.signal } : {}),
    });
    this.door = options.door ?? defaultDoor();
    this.handle = new HandleRef(this.door);
    this.idle = new IdleTimer(() => this.emit('timeout'));
    if (accepted !== undefined) this.adopt(accepted);
  }

  // --- net.Socket ----------------------------------------------------------------------------------------------------

  connect(...args: ConnectArgs): this {
    const { options, onConnect } = connectArgs(args);
    const port = checkPort(options.port);
    if (this.connecting || this.fd >= 0)
      throw argError('the socket is connected or connecting already', 'ERR_SOCKET_CONNECTING');
    if (onConnect) this.once('connect', onConnect);
    this.connecting = true;
    this.handle.open();
    this.idle.touch();
    if (options.timeout) this.setTimeout(options.timeout);
    if (options.noDelay) this.setNoDelay(true);
    if (options.keepAlive) this.setKeepAlive(true, options.keepAliveInitialDelay);
    const host = options.host || '127.0.0.1';
    const address = literal(host);
    if (address !== undefined) this.open(options, address, port);
    else {
      resolve(host, options.lookup, (err, ip) => {
        this.emit('lookup', err, ip, 4, host);
        if (this.destroyed) return;
        if (err) this.destroy(err);
        else this.open(options, literal(ip)!, port);
      });
    }
    return this;
  }

  get pending(): boolean {
    return this.fd < 0 || this.connecting;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.fd < 0) return 'closed';
    if (this.readable && this.writable) return 'open';
    return this.readable ? 'readOnly' : this.writable ? 'writeOnly' : 'closed';
  }

  get bytesWritten(): number {
    return this.taken + this.writableLength;
  }

  get bufferSize(): number {
    return this.writableLength;
  }

  address(): AddressInfo | Record<string, never> {
    if (this.localAddress === undefined || this.localPort === undefined) return {};
    return { address: this.localAddress, family: 'IPv4', port: this.localPort };
  }

  setNoDelay(on = true): this {
    if (on === this.noDelay) return this;
    this.noDelay = on;
    return this.option(SOL_TCP, TCP_NODELAY, on ? 1 : 0);
  }

  setKeepAlive(on = false, initialDelayMs = 0): this {
    this.option(SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0);
    const idleS = Math.floor(initialDelayMs / 1000);
    return on && idleS > 0 ? this.option(SOL_TCP, TCP_KEEPIDLE, idleS) : this;
  }

  setTimeout(ms: number, onTimeout?: () => void): this {
    this.idle.set(ms);
    if (onTimeout) {
      if (ms === 0) this.removeListener('timeout', onTimeout);
      else this.once('timeout', onTimeout);
    }
    return this;
  }

  get timeout(): number | undefined {
    return this.idle.ms || undefined;
  }

  /** Closes with a reset instead of a FIN. */
  resetAndDestroy(): this {
    if (this.fd >= 0) {
      const linger = { onoff: 1, linger: 0 };
      this.door.request(
        { setsockopt: { fd: this.fd, level: SOL_SOCKET, name: SO_LINGER, value: { linger } } },
        undefined,
        () => {},
      );
      this.resetting = true;
      return this.destroy();
    }
    if (this.connecting) return this.once('connect', () => this.resetAndDestroy());
    return this.destroy(argError('Socket is closed', 'ERR_SOCKET_CLOSED'));
  }

  /** Destroys once everything written has been taken. */
  destroySoon(): void {
    this.closing = true;
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  ref(): this {
    this.handle.ref();
    return this;
  }

  unref(): this {
    this.handle.unref();
    return this;
  }

  // --- Duplex --------------------------------------------------------------------------------------------------------

  override _read(): void {
    if (this.connecting) this.early.push(() => this._read());
    else if (this.first.length > 0) this.arrived(this.first.splice(0));
    else this.park();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (e?: Error | null) => void): void {
    this.whenOpen(() => this.send([chunk], done), done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (e?: Error | null) => void): void {
    this.whenOpen(
      () =>
        this.send(
          chunks.map((c) => c.chunk),
          done,
        ),
      done,
    );
  }

  override _final(done: (e?: Error | null) => void): void {
    if (this.fd < 0 && !this.connecting) return done();
    this.whenOpen(() => {
      if (this.closing) return done();
      this.door.request({ shutdown: { fd: this.fd, how: SHUT_WR, drain: true } }, undefined, (r) => {
        // ENOTCONN: a reset came first; the reader hears of it.
        done(r.errno === 0 || r.errno === 107 ? null : sysError(r.errno, 'shutdown', undefined, undefined, r.error));
      });
    }, done);
  }

  override _destroy(err: Error | null, done: (e: Error | null) => void): void {
    this.idle.set(0);
    this.connecting = false;
    this.offClose?.();
    const { fd } = this;
    this.fd = -1;
    const over = (): void => {
      this.handle.close();
      done(err);
      process.nextTick(() => this.emit('close', err !== null));
    };
    if (fd < 0 || this.door.closed) over();
    else this.door.request({ close: { fd, drain: err === null && !this.resetting } }, undefined, over);
  }

  // --- inside --------------------------------------------------------------------------------------------------------

  private adopt(a: Accepted): void {
    this.handle.open();
    this.opened(a.fd);
    this.noDelay = a.noDelay;
    this.first = a.data;
    this.addresses(a.local, a.remote);
  }

  private opened(fd: number): void {
    this.fd = fd;
    // A door that closes ends a socket that has nothing pending, too.
    this.offClose = this.door.onClose((why) => this.destroy(sysError(104, 'read', undefined, undefined, why)));
  }

  private addresses(local: AddressInfo | undefined, remote: AddressInfo | undefined): void {
    this.localAddress = local?.address;
    this.localPort = local?.port;
    this.localFamily = local?.family;
    this.remoteAddress = remote?.address;
    this.remotePort = remote?.port;
    this.remoteFamily = remote?.family;
  }

  private open(options: ConnectOptions, address: number, port: number): void {
    const where = formatIpv4(address);
    this.door.request({ socket: { domain: AF_INET, type: SOCK_STREAM } }, undefined, (r) => {
      if (this.destroyed) {
        if (r.errno === 0) this.door.request({ close: { fd: r.result } }, undefined, () => {});
        return;
      }
      if (r.errno !== 0) {
        this.destroy(sysError(r.errno, 'connect', where, port, r.error));
        return;
      }
      this.opened(r.result);
      for (const [level, name, num] of this.wanted.splice(0)) this.option(level, name, num);
      if (options.localAddress !== undefined || options.localPort !== undefined) {
        const local = literal(options.localAddress ?? '0.0.0.0') ?? 0;
        this.door.request(
          { bind: { fd: this.fd, addr: toDoorAddr(local, options.localPort ?? 0) } },
          undefined,
          (b) => {
            if (b.errno !== 0) this.destroy(sysError(b.errno, 'bind', formatIpv4(local), options.localPort, b.error));
          },
        );
      }
      this.door.request({ connect: { fd: this.fd, addr: toDoorAddr(address, port) } }, undefined, (c) =>
        this.onConnected(c, { address: where, family: 'IPv4', port }),
      );
    });
  }

  private onConnected(r: DoorReply, remote: AddressInfo): void {
    if (this.destroyed) return;
    if (r.errno !== 0) {
      this.destroy(sysError(r.errno, 'connect', remote.address, remote.port, r.error));
      return;
    }
    this.connecting = false;
    this.addresses(fromDoorAddr(r.local), remote);
    this.idle.touch();
    this.emit('connect');
    this.emit('ready');
    for (const f of this.early.splice(0)) f();
    if (!this.isPaused()) this.read(0);
  }

  private whenOpen(then: () => void, failed: (e: Error) => void): void {
    if (this.connecting) this.early.push(() => this.whenOpen(then, failed));
    else if (this.fd < 0) failed(argError('Socket is closed', 'ERR_SOCKET_CLOSED'));
    else then();
  }

  /** One recv sleeps in the stack while somebody wants data, so that what arrives is here with one message. */
  private park(): void {
    if (this.recvId !== 0 || this.fd < 0) return;
    this.recvId = this.door.request({ recvfrom: { fd: this.fd, len: CHUNK } }, undefined, (r, data) =>
      this.onData(r, data),
    );
  }

  private onData(r: DoorReply, data: Uint8Array[]): void {
    this.recvId = 0;
    if (this.destroyed || this.fd < 0) return;
    if (r.errno !== 0) {
      this.destroy(sysError(r.errno, 'read', undefined, undefined, r.error));
      return;
    }
    this.idle.touch();
    if (r.result === 0) {
      this.push(null);
      if (this.readableLength === 0) this.read(0);
      return;
    }
    this.arrived(data);
  }

  private arrived(data: Uint8Array[]): void {
    const n = data.reduce((sum, d) => sum + d.length, 0);
    this.bytesRead += n;
    // Ask again before the consumer runs: what it writes then leaves in the same message.
    if (this.readableLength + n < this.readableHighWaterMark) this.park();
    for (const d of data) this.push(Buffer.from(d.buffer, d.byteOffset, d.length));
  }

  private send(chunks: Buffer[], done: (e?: Error | null) => void): void {
    let n = 0;
    let used = 0;
    const now: Buffer[] = [];
    while (used < chunks.length && n < CHUNK) {
      const c = chunks[used]!;
      const take = Math.min(c.length, CHUNK - n);
      now.push(take === c.length ? c : c.subarray(0, take));
      n += take;
      if (take < c.length) chunks[used] = c.subarray(take);
      else used++;
    }
    const rest = chunks.slice(used);
    this.idle.touch();
    this.taken += n;
    this.ahead += n;
    // Like a kernel's send buffer: a short write is done when it is on its way, so what follows goes along with it.
    const early = rest.length === 0 && this.ahead <= AHEAD;
    const over = early ? (e?: Error | null): void => void (e && this.destroy(e)) : done;
    const later = early && n <= SMALL;
    this.door.request({ sendto: { fd: this.fd, flags: 0x4000 }, later }, now, (r) => {
      this.ahead -= n;
      const took = r.errno === 0 ? r.result : 0;
      this.taken -= n - took;
      if (r.errno !== 0) over(sysError(r.errno, 'write', undefined, undefined, r.error));
      else {
        this.idle.touch();
        // It takes less only when an error has come in between, and the next try says which.
        if (took < n) rest.unshift(Buffer.concat(now).subarray(took));
        if (rest.length === 0) over();
        else if (this.fd < 0) over(argError('Socket is closed', 'ERR_SOCKET_CLOSED'));
        else this.send(rest, over);
      }
    });
    if (early) done();
  }

  private readonly wanted: [level: number, name: number, num: number][] = [];

  /** Before there is an fd, options are remembered; like Node, errors are not reported. */
  private option(level: number, name: number, num: number): this {
    if (this.fd < 0) this.wanted.push([level, name, num]);
    else this.door.request({ setsockopt: { fd: this.fd, level, name, value: { num } } }, undefined, () => {});
    return this;
  }
}

/** net.connect(), net.createConnection(). */
export function connect(...args: ConnectArgs): Socket {
  const { options } = connectArgs(args);
  return new Socket(options).connect(...args);
}

export const createConnection = connect;

function connectArgs(args: ConnectArgs): { options: ConnectOptions; onConnect: (() => void) | undefined } {
  const [first] = args;
  const last = args.at(-1);
  const onConnect = typeof last === 'function' ? (last as () => void) : undefined;
  if (typeof first === 'object') {
    if ('path' in first && (first as { path?: unknown }).path != null)
      throw argError('the stack has no Unix sockets: give host and port');
    return { options: first, onConnect };
  }
  const host = typeof args[1] === 'string' ? args[1] : undefined;
  if (typeof first === 'string' && !/^\d+$/.test(first))
    throw argError('the stack has no Unix sockets: give host and port');
  return { options: { port: first, host }, onConnect };
}
