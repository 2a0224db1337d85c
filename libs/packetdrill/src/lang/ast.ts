/** What a script says, as a tree. Every node that can be wrong at run time knows its place. */

export interface Place {
  /** From 1. */
  line: number;
  column: number;
}

/** Microseconds. */
export type Us = number;

/** When an event is due. `endUs`: any time in between (`0.1~0.2`). */
export type When =
  | { kind: 'absolute' | 'relative'; us: Us; endUs?: Us }
  /** `*`: whenever it comes. */
  | { kind: 'any' };

export type Expr = Place &
  (
    | { kind: 'ellipsis' }
    | { kind: 'int'; value: number; hex: boolean }
    | { kind: 'word'; name: string }
    | { kind: 'string'; value: string }
    | { kind: 'call'; name: string; args: Expr[] }
    | { kind: 'unary'; op: '-' | '~'; of: Expr }
    | { kind: 'binary'; op: BinaryOp; left: Expr; right: Expr }
    | { kind: 'list'; items: Expr[] }
    | { kind: 'struct'; fields: Field[] }
  );

export type BinaryOp = '|' | '^' | '&' | '<<' | '>>' | '+' | '-' | '*' | '/';

/** `sin_port = htons(8080)`, `msg_iov(1) = […]`; without a name: an element by its position. */
export interface Field {
  name: string | undefined;
  /** What stands in parentheses after the name. */
  count: Expr | undefined;
  value: Expr;
}

export interface SyscallSpec {
  kind: 'syscall';
  name: string;
  args: Expr[];
  result: Expr;
  /** `EAGAIN` of `= -1 EAGAIN (Resource temporarily unavailable)`. */
  errno: string | undefined;
  note: string | undefined;
}

export interface CommandSpec {
  kind: 'command';
  text: string;
}

export interface CodeSpec {
  kind: 'code';
  text: string;
}

export type Direction = 'in' | 'out';
export type Ecn = 'noecn' | 'ect0' | 'ect1' | 'ect01' | 'ce';

/** `[ect0]`, `[tos 0x10]`, `[ttl 5]`, `[flowlabel 0x1]`, alone or together. */
export interface IpInfo {
  ecn?: Ecn;
  tos?: number;
  ttl?: number;
  flowlabel?: number;
}

export interface Ports {
  src: number;
  dst: number;
}

export type TcpOption =
  | { kind: 'nop' | 'eol' | 'sackOK' }
  | { kind: 'mss' | 'wscale'; value: number }
  | { kind: 'sack'; blocks: [number, number][] }
  | { kind: 'ts'; val: number; ecr: number }
  | { kind: 'fo' | 'foexp' | 'md5'; data: Uint8Array }
  /** Accurate ECN: the counters in the order written, which says which of the two option kinds it is. */
  | { kind: 'ecn'; fields: { name: 'e0b' | 'ceb' | 'e1b'; value: number }[] }
  /** One that the language has no word for; only seen in what a stack sent. */
  | { kind: 'unknown'; number: number; data: Uint8Array };

/** TCP's flags, by their letters: S F R P . U E W A. */
export interface TcpFlags {
  bits: number;
  /** `.5`: the three bits of Accurate ECN's counter instead of E, W and A. */
  ace: number | undefined;
}

export interface TcpPacket {
  proto: 'tcp';
  ip: IpInfo;
  ports: Ports | undefined;
  flags: TcpFlags;
  seq: number;
  len: number;
  ack: number | undefined;
  window: number | undefined;
  urgent: number | undefined;
  ipId: number | undefined;
  /** 'any': `<...>`. */
  options: TcpOption[] | 'any';
}

export interface UdpPacket {
  proto: 'udp';
  ip: IpInfo;
  ports: Ports | undefined;
  len: number;
}

/** What an ICMP error quotes. */
export type Quoted = { proto: 'tcp'; seq: number; len: number } | { proto: 'udp' | 'raw'; len: number };

export interface IcmpPacket {
  proto: 'icmp';
  ip: IpInfo;
  type: string;
  code: string | undefined;
  mtu: number | undefined;
  id: number | undefined;
  quoted: Quoted | undefined;
}

export type Packet = TcpPacket | UdpPacket | IcmpPacket;

export interface PacketSpec {
  kind: 'packet';
  direction: Direction;
  packet: Packet;
}

export interface Event extends Place {
  when: When;
  /** `0.1...0.3`: a call that blocks, and when it comes back. On the same scale as `when`. */
  endUs: Us | undefined;
  action: PacketSpec | SyscallSpec | CommandSpec | CodeSpec;
}

export interface ScriptOption extends Place {
  name: string;
  value: string | undefined;
}

export interface Script {
  file: string;
  options: ScriptOption[];
  /** A command before the first event, without a time. */
  init: (CommandSpec & Place) | undefined;
  events: Event[];
  /** A command after the last event. */
  cleanup: (CommandSpec & Place) | undefined;
}
