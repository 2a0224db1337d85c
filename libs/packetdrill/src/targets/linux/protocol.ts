import type { SysResult, TargetOptions } from '../../target.ts';

// What runner and agent say to each other. Requests go by Node's IPC and are served in order; packets come back on a
// pipe of their own, straight from the thread that reads the device.

/** The stdio index of the packet pipe in the agent. */
export const PACKET_FD = 3;
/** u32 length, u32 script number, u64 monotonic nanoseconds; little endian. */
export const RECORD_BYTES = 16;
/** Length of a record that answers a byte from the runner: all that was on the device before it has been sent. */
export const DRAINED = 0xffff_ffff;
/** The largest IP packet. */
export const PACKET_MAX = 65_536;

export interface Methods {
  open: { args: [options: TargetOptions, script: number]; result: void };
  close: { args: []; result: void };
  /** Returns after whatever was done before it has been told. */
  ping: { args: []; result: void };
  inject: { args: [packet: Uint8Array]; result: void };
  sysctl: { args: [name: string, value: string]; result: void };
  counters: { args: []; result: Map<string, number> };
  shell: { args: [command: string]; result: { status: number; output: string } };
  call: { args: [name: string, args: readonly unknown[]]; result: SysResult };
}

export type Method = keyof Methods;

export interface Request<M extends Method = Method> {
  id: number;
  method: M;
  args: Methods[M]['args'];
}

export interface Response {
  id: number;
  /** Monotonic nanoseconds when it was done. */
  ns: bigint;
  result?: unknown;
  error?: string;
}

/** What the agent gives its reading thread. */
export interface ReaderData {
  wakeFd: number;
  /** Words at the indexes below. */
  shared: SharedArrayBuffer;
}

/** The device's fd, −1 between scripts. */
export const TUN = 0;
export const SCRIPT = 1;
/** Changes of the two that were asked for, and those that the thread has seen. */
export const ASKED = 2;
export const SEEN = 3;
