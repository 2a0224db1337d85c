import type { SysCmsg, SysEpollEvent, SysOpt, SysPollFd } from './sys.ts';

/** Microseconds since the script began. */
export type Micros = number;

/** The stack's own address, and the one the script's remote host has; never the same network as anything real. */
export interface ScriptAddresses {
  localIp: string;
  remoteIp: string;
  gatewayIp: string;
  prefixLen: number;
}

/** What a script asks of the machine it runs on, before its first event. */
export interface TargetOptions extends ScriptAddresses {
  mtu: number;
  /**
   * Every connection of the stack under test begins at this sequence number: for runs across the wrap. Only asked of a
   * target whose `canPinIss` is true.
   */
  iss?: number;
}

/** What a call gave: as in C, −1 and an errno, or a number. */
export interface SysResult {
  ret: number;
  /** The errno's number, 0 if ret ≥ 0. */
  errno: number;
  /** recv, read, recvfrom …: the bytes. */
  data?: Uint8Array;
  /** accept, recvfrom, getsockname …: the address. */
  addr?: { ip: string; port: number };
  /** getsockopt: the raw value as C lays it out (little endian). */
  opt?: Uint8Array;
  /** poll: the revents, in the order of the fds. */
  revents?: readonly number[];
  /** ioctl, fcntl: the value that came back. */
  value?: number;
  /** recvmsg: MSG_TRUNC, MSG_ERRQUEUE … */
  msgFlags?: number;
  /** recvmsg: the control messages. */
  control?: readonly SysCmsg[];
  /** epoll_wait: what is ready. */
  ready?: readonly SysEpollEvent[];
}

/**
 * A call on its way. A blocking call may be settled much later than it was made; the script says when.
 */
export interface SysTicket {
  /** The result, undefined while the call blocks. */
  readonly result: SysResult | undefined;
  /** When it came back. */
  readonly doneUs: Micros;
  readonly settled: Promise<SysResult>;
}

/** An address argument. */
export interface SysAddr {
  /** AF_INET if absent; AF_UNSPEC to dissolve a connection. */
  family?: number;
  ip: string;
  port: number;
}

/** The system calls a script can make. File descriptors are the target's own; the runner maps the script's. */
export interface SysCalls {
  socket(domain: number, type: number, protocol: number): SysTicket;
  bind(fd: number, addr: SysAddr): SysTicket;
  listen(fd: number, backlog: number): SysTicket;
  accept(fd: number, flags: number): SysTicket;
  connect(fd: number, addr: SysAddr): SysTicket;
  send(fd: number, data: Uint8Array, flags: number, to?: SysAddr): SysTicket;
  recv(fd: number, count: number, flags: number): SysTicket;
  shutdown(fd: number, how: number): SysTicket;
  close(fd: number): SysTicket;
  getsockname(fd: number): SysTicket;
  getpeername(fd: number): SysTicket;
  getsockopt(fd: number, level: number, name: number, len: number): SysTicket;
  setsockopt(fd: number, level: number, name: number, value: SysOpt): SysTicket;
  fcntl(fd: number, cmd: number, arg: number): SysTicket;
  ioctl(fd: number, request: number, arg: number): SysTicket;
  poll(fds: readonly SysPollFd[], timeoutMs: number): SysTicket;
  epollCreate(flags: number): SysTicket;
  epollCtl(epfd: number, op: number, fd: number, event: SysEpollEvent): SysTicket;
  epollWait(epfd: number, max: number, timeoutMs: number): SysTicket;
  recvmsg(fd: number, count: number, flags: number): SysTicket;
}

/** A packet that the stack under test sent. */
export interface Sniffed {
  atUs: Micros;
  /** From the IP header on. */
  bytes: Uint8Array;
}

/**
 * A stack that scripts run against. Made once, opened anew for every script (a fresh stack each time, or one that
 * remembers nothing of the script before), always closed.
 */
export interface Target {
  readonly name: 'engine' | 'services' | 'linux';
  /** Time only passes in sleepUntil() and nextPacket(): no tolerance is needed beyond the script's own. */
  readonly virtualTime: boolean;
  /** In real time: what the machine and the way to the stack may add, allowed beyond the script's tolerance. */
  readonly latencyUs?: Micros;
  /** Honours TargetOptions.iss. */
  readonly canPinIss?: boolean;
  readonly sys: SysCalls;
  open(opts: TargetOptions): Promise<void>;
  close(): Promise<void>;
  now(): Micros;
  sleepUntil(at: Micros): Promise<void>;
  /** A packet (from the IP header on) arrives from the remote host. */
  inject(packet: Uint8Array): void;
  /** The oldest packet the stack sent that was not taken yet; waits for one until `deadline`. */
  nextPacket(deadline: Micros): Promise<Sniffed | undefined>;
  /** Waits until the ticket is settled or the deadline has passed. */
  wait(ticket: SysTicket, deadline: Micros): Promise<void>;
  /** `net.ipv4.tcp_sack` …; throws a sentence if the target has no such switch. Undone by close(). */
  sysctl(name: string, value: string): Promise<void>;
  /** SNMP and TcpExt counters by nstat's names, counted since open(). */
  counters(): Promise<ReadonlyMap<string, number>>;
  /**
   * Runs a script's `command` as a shell would and throws a sentence if it fails. A target without it has its commands
   * interpreted: sysctl through sysctl(), `ip route …` through ipRoute(), and what only concerns Linux ignored.
   */
  command?(line: string): Promise<void>;
  /** `ip route WORDS…`, for a target without command(). */
  ipRoute?(words: readonly string[]): void;
  /** Addresses that no script before had; used where the script names none. For a target that remembers scripts. */
  addresses?(): ScriptAddresses;
  /** After the last script: ends what open() started and close() kept. */
  dispose?(): Promise<void>;
}
