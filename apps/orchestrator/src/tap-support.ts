import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { inNetns, openTun } from '@skbus/libc';
import { findIp } from './iproute2.ts';

// include/uapi/linux/capability.h
const CAP_NET_ADMIN = 12;
const CAP_SYS_ADMIN = 21;

/** Why a TAP cannot be had here, as the first half of a sentence; undefined: it can. */
export function tapProblem(peerNetns: string): string | undefined {
  if (process.platform !== 'linux') return 'TAP devices need Linux';
  if (!existsSync('/dev/net/tun')) return '/dev/net/tun is missing (modprobe tun)';
  if (!hasCapability(CAP_NET_ADMIN)) return 'a TAP device needs root';
  if (peerNetns !== 'host' && !hasCapability(CAP_SYS_ADMIN)) return 'a network namespace needs root';
  if (!findIp()) return 'the program ip is missing (apt-get install iproute2)';
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return undefined;
  } catch (e) {
    return `/dev/net/tun cannot be opened (${(e as NodeJS.ErrnoException).code})`;
  }
}

export function hasCapability(bit: number): boolean {
  try {
    const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
    return ((BigInt(`0x${hex}`) >> BigInt(bit)) & 1n) === 1n;
  } catch {
    return process.getuid?.() === 0;
  }
}

/**
 * A descriptor that the nic makes the TAP with and that stays open here: while no nic runs, the device keeps its carrier and
 * its queue. `undefined`: the nic opens the device itself, and it is a persistent one.
 */
export function keepTap(netnsPath: string | undefined): number | undefined {
  try {
    return inNetns(netnsPath, openTun);
  } catch {
    return undefined;
  }
}
