import { EventEmitter } from 'node:events';
import {
  AF_INET,
  AF_UNSPEC,
  IP_TTL,
  SOCK_DGRAM,
  SOL_IP,
  SOL_SOCKET,
  SO_BROADCAST,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_SNDBUF,
  formatIpv4,
} from '@skbus/skb';
import { type AddressInfo, type Lookup, checkPort, fromDoorAddr, literal, resolve, toDoorAddr } from './address.ts';
import { defaultDoor } from './default-door.ts';
import type { Door, DoorCall, DoorReply } from './door.ts';
import { argError, sysError } from './errors.ts';
import { HandleRef } from './handle-ref.ts';

const DGRAM_MAX = 65_536;
/** Receives that sleep in the stack at once. */
const PARKED_RECVS = 4;

export interface DgramOptions {
  type: 'udp4';
  door?: Door;
  reuseAddr?: boolean;
  recvBufferSize?: number;
  sendBufferSize?: number;
  lookup?: Lookup;
}

export interface RemoteInfo extends AddressInfo {
  size: number;
}

type Sent = (err: Error | null, bytes: number) => void;

/** Node's dgram.Socket on a UDP socket of the stack. */
export class DgramSocket extends EventEmitter {
  private readonly options: DgramOptions;
  private readonly door: Door;
  private readonly handle: HandleRef;
  private fd = -1;
  private state: 'new' | 'opening' | 'open' | 'closed' = 'new';
  private readonly waiting: (() => void)[] = [];
  private local: AddressInfo | undefined = undefined;
  private peer: AddressInfo | undefined = undefined;

  constructor(options: DgramOptions | 'udp4', onMessage?: (msg: Buffer, from: RemoteInfo) => void) {
    super();
    this.options = typeof options === 'string' ? { type: options } : options;
    if (this.options.type !== 'udp4') throw argError('the stack speaks IPv4: udp4', 'ERR_SOCKET_BAD_TYPE');
    this.door = this.options.door ?? defaultDoor();
    this.handle = new HandleRef(this.door);
    if (onMessage) this.on('message', onMessage);
  }

  bind(
    port?: number | { port?: number; address?: string } | (() => void),
    address?: string | (() => void),
    done?: () => void,
  ): this {
    const o =
      typeof port === 'object'
        ? port
        : { port: typeof port === 'number' ? port : 0, ...(typeof address === 'string' ? { address } : {}) };
    const listening = [port, address, done].find((a) => typeof a === 'function') as (() => void) | undefined;
    if (this.state !== 'new') throw argError('Socket is already bound', 'ERR_SOCKET_ALREADY_BOUND');
    const at = literal(o.address ?? '0.0.0.0');
    if (at === undefined) throw argError(`cannot bind to ${o.address}: give an IPv4 address of the stack`);
    if (listening) this.once('listening', listening);
    this.open(at, checkPort(o.port ?? 0));
    return this;
  }

  send(msg: string | Uint8Array | readonly (string | Uint8Array)[], ...rest: unknown[]): void {
    let data = toBuffer(msg);
    const args = [...rest];
    const done = typeof args.at(-1) === 'function' ? (args.pop() as Sent) : undefined;
    // send(msg, offset, length, port, …) or send(msg, port, …); connected: without port.
    if (args.length >= 2 && typeof args[0] === 'number' && typeof args[1] === 'number') {
      const [offset, length] = args.splice(0, 2) as [number, number];
      if (offset < 0 || length < 0 || offset + length > data.length)
        throw new RangeError('offset and length are outside the message');
      data = data.subarray(offset, offset + length);
    }
    const [port, host] = args as [number | undefined, string | undefined];
    if (this.peer !== undefined && port !== undefined)
      throw argError('Already connected', 'ERR_SOCKET_DGRAM_IS_CONNECTED');
    if (this.peer === undefined && this.state !== 'opening') checkPort(port);
    if (port === 0)
      throw Object.assign(new RangeError('Port should be > 0 and < 65536. Received 0.'), {
        code: 'ERR_SOCKET_BAD_PORT',
      });
    const fail = (e: Error): void => {
      if (done) process.nextTick(done, e, 0);
      else process.nextTick(() => this.emit('error', e));
    };
    this.whenOpen(() => {
      if (port === undefined) return this.sendTo(data, undefined, done);
      const name = host ?? '127.0.0.1';
      const at = literal(name);
      if (at !== undefined) return this.sendTo(data, { addr: at, port }, done);
      resolve(name, this.options.lookup, (e, ip) =>
        e ? fail(e) : this.sendTo(data, { addr: literal(ip)!, port }, done),
      );
    }, fail);
  }

  connect(port: number, address?: string | ((e?: Error) => void), done?: (e?: Error) => void): void {
    const callback = typeof address === 'function' ? address : done;
    const name = typeof address === 'string' ? address : '127.0.0.1';
    const p = checkPort(port);
    const over = (e?: Error): void => {
      if (e === undefined) this.emit('connect');
      if (callback) callback(e);
      else if (e !== undefined) this.emit('error', e);
    };
    const to = (at: number): void =>
      this.request({ connect: { fd: this.fd, addr: toDoorAddr(at, p) } }, (r) => {
        if (r.errno !== 0) return over(sysError(r.errno, 'connect', formatIpv4(at), p, r.error));
        this.peer = { address: formatIpv4(at), family: 'IPv4', port: p };
        this.local = fromDoorAddr(r.local) ?? this.local;
        over();
      });
    this.whenOpen(() => {
      const at = literal(name);
      if (at !== undefined) to(at);
      else resolve(name, this.options.lookup, (e, ip) => (e ? over(e) : to(literal(ip)!)));
    }, over);
  }

  disconnect(): void {
    if (this.peer === undefined) throw argError('Not connected', 'ERR_SOCKET_DGRAM_NOT_CONNECTED');
    this.peer = undefined;
    this.request({ connect: { fd: this.fd, addr: { family: AF_UNSPEC } } }, () => {});
  }

  address(): AddressInfo {
    if (this.local === undefined) throw sysError(9, 'getsockname');
    return this.local;
  }

  remoteAddress(): AddressInfo {
    if (this.peer === undefined) throw argError('Not connected', 'ERR_SOCKET_DGRAM_NOT_CONNECTED');
    return this.peer;
  }

  close(done?: () => void): this {
    if (this.state === 'closed') throw argError('Not running', 'ERR_SOCKET_DGRAM_NOT_RUNNING');
    if (done) this.once('close', done);
    const { fd } = this;
    this.state = 'closed';
    this.fd = -1;
    const over = (): void => {
      this.handle.close();
      this.emit('close');
    };
    if (fd >= 0 && !this.door.closed) this.door.request({ close: { fd } }, undefined, over);
    else process.nextTick(over);
    return this;
  }

  setBroadcast(on: boolean): void {
    this.option(SOL_SOCKET, SO_BROADCAST, on ? 1 : 0);
  }

  setTTL(ttl: number): void {
    if (!Number.isInteger(ttl) || ttl < 1 || ttl > 255) throw sysError(22, 'setTTL');
    this.option(SOL_IP, IP_TTL, ttl);
  }

  setRecvBufferSize(bytes: number): void {
    this.option(SOL_SOCKET, SO_RCVBUF, bytes);
  }

  setSendBufferSize(bytes: number): void {
    this.option(SOL_SOCKET, SO_SNDBUF, bytes);
  }

  ref(): this {
    this.handle.ref();
    return this;
  }

  unref(): this {
    this.handle.unref();
    return this;
  }

  private open(at: number, port: number): void {
    this.state = 'opening';
    this.handle.open();
    this.door.request({ socket: { domain: AF_INET, type: SOCK_DGRAM } }, undefined, (s) => {
      if (s.errno !== 0) return this.failed(sysError(s.errno, 'bind', formatIpv4(at), port, s.error));
      if (this.state === 'closed') return void this.door.request({ close: { fd: s.result } }, undefined, () => {});
      this.fd = s.result;
      if (this.options.reuseAddr) this.set(SOL_SOCKET, SO_REUSEADDR, 1);
      if (this.options.recvBufferSize) this.set(SOL_SOCKET, SO_RCVBUF, this.options.recvBufferSize);
      if (this.options.sendBufferSize) this.set(SOL_SOCKET, SO_SNDBUF, this.options.sendBufferSize);
      this.request({ bind: { fd: this.fd, addr: toDoorAddr(at, port) } }, (b) => {
        if (this.state === 'closed') return;
        if (b.errno !== 0) return this.failed(sysError(b.errno, 'bind', formatIpv4(at), port, b.error));
        this.state = 'open';
        this.local = fromDoorAddr(b.local);
        for (let i = 0; i < PARKED_RECVS; i++) this.park(this.fd);
        this.emit('listening');
        for (const f of this.waiting.splice(0)) f();
      });
    });
  }

  private failed(e: Error): void {
    if (this.state === 'closed') return;
    this.state = 'new';
    this.handle.close();
    if (this.fd >= 0) this.door.request({ close: { fd: this.fd } }, undefined, () => {});
    this.fd = -1;
    this.emit('error', e);
  }

  private park(fd: number): void {
    this.door.request({ recvfrom: { fd, len: DGRAM_MAX } }, undefined, (r, data) => {
      if (this.fd !== fd) return;
      if (r.errno !== 0) {
        this.emit('error', sysError(r.errno, 'recvmsg', undefined, undefined, r.error));
        if (this.door.closed) this.state = 'closed';
        else this.park(fd);
        return;
      }
      this.park(fd);
      const msg =
        data.length === 1 ? Buffer.from(data[0]!.buffer, data[0]!.byteOffset, data[0]!.length) : Buffer.concat(data);
      this.emit('message', msg, { ...fromDoorAddr(r.addr)!, size: msg.length });
    });
  }

  private sendTo(data: Buffer, to: { addr: number; port: number } | undefined, done: Sent | undefined): void {
    const call: DoorCall = { sendto: { fd: this.fd, ...(to ? { to: toDoorAddr(to.addr, to.port) } : {}) } };
    this.door.request(call, [data], (r) => {
      if (r.errno === 0) done?.(null, r.result);
      else {
        const e = sysError(r.errno, 'send', to && formatIpv4(to.addr), to?.port, r.error);
        if (done) done(e, 0);
        else if (this.state !== 'closed') this.emit('error', e);
      }
    });
  }

  private whenOpen(then: () => void, failed: (e: Error) => void): void {
    if (this.state === 'open') return then();
    if (this.state === 'closed') return failed(argError('Not running', 'ERR_SOCKET_DGRAM_NOT_RUNNING'));
    this.waiting.push(then);
    if (this.state === 'new') this.open(0, 0);
  }

  private option(level: number, name: number, num: number): void {
    this.whenOpen(
      () => this.set(level, name, num),
      () => {},
    );
  }

  private set(level: number, name: number, num: number): void {
    this.request({ setsockopt: { fd: this.fd, level, name, value: { num } } }, (r) => {
      if (r.errno !== 0 && this.state !== 'closed')
        this.emit('error', sysError(r.errno, 'setsockopt', undefined, undefined, r.error));
    });
  }

  private request(call: DoorCall, reply: (r: DoorReply) => void): void {
    this.door.request(call, undefined, reply);
  }
}

/** dgram.createSocket(). */
export function createSocket(
  options: DgramOptions | 'udp4',
  onMessage?: (msg: Buffer, from: RemoteInfo) => void,
): DgramSocket {
  return new DgramSocket(options, onMessage);
}

function toBuffer(msg: string | Uint8Array | readonly (string | Uint8Array)[]): Buffer {
  if (typeof msg === 'string') return Buffer.from(msg);
  if (msg instanceof Uint8Array) return Buffer.from(msg.buffer, msg.byteOffset, msg.length);
  return Buffer.concat(msg.map((m) => (typeof m === 'string' ? Buffer.from(m) : m)));
}
