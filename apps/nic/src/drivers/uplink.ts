import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { maskOf, parseCidr, parseIpv4 } from '@skbus/skb';
import { errno, sys, SysError } from '@skbus/libc';
import { ifreq } from './tun.ts';

// include/uapi/linux/sockios.h
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCGIFINDEX = 0x8933;
const SIOCBRADDBR = 0x89a0;
const SIOCBRADDIF = 0x89a2;
const IFF_UP = 1;
const IFNAMSIZ = 16;
const AF_INET = 2;
const SOCK_DGRAM = 2;
const EEXIST = 17;
const EBUSY = 16;

const BRIDGE = 'skbus-br';
/** A cable that was pulled out and plugged in again is another interface; nothing but a look tells. */
const LOOK_MS = 1_000;

/**
 * Bridges the TAP with a real interface of this network namespace, so that whoever is on that segment is a neighbour of the
 * stack. For containers: the interface is the one that leads to the network which is the cable. Needs CAP_NET_ADMIN.
 */
export class Uplink {
  private readonly tap: string;
  private readonly where: string;
  private readonly printk: (line: string) => void;
  private timer: NodeJS.Timeout | undefined = undefined;
  private complained = '';

  /** `where`: the interface's name, or the subnet its address is in. */
  constructor(tap: string, where: string, printk: (line: string) => void) {
    this.tap = tap;
    this.where = where;
    this.printk = printk;
  }

  /** Throws a sentence for a person when this cannot work at all; an interface that is not there yet is waited for. */
  start(): void {
    withSocket((fd) => {
      if (sys.ioctl(fd, SIOCBRADDBR, ifreq(BRIDGE)) < 0 && errno() !== EEXIST)
        throw new SysError(`bridge ${BRIDGE} (needs CAP_NET_ADMIN and the kernel's bridge module)`, errno());
      enslave(fd, this.tap);
      up(fd, BRIDGE);
    });
    this.look();
    this.timer = setInterval(() => this.look(), LOOK_MS);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const ifname = interfaceOf(this.where);
    if (ifname === undefined) {
      this.say(`tun: ${this.tap}: no interface for ${this.where}, the cable is out`);
      return;
    }
    if (existsSync(`/sys/class/net/${BRIDGE}/brif/${ifname}`)) return;
    try {
      withSocket((fd) => enslave(fd, ifname));
      this.say(`tun: ${this.tap}: bridged with ${ifname}`);
    } catch (e) {
      this.say(`tun: ${this.tap}: ${e instanceof Error ? e.message : String(e)}`);
    }
  }

  /** Once for each change. */
  private say(line: string): void {
    if (line === this.complained) return;
    this.complained = line;
    this.printk(line);
  }
}

/** The interface of that name, or with an IPv4 address in that subnet. */
export function interfaceOf(where: string, all = networkInterfaces()): string | undefined {
  const net = parseCidr(where);
  if (net === undefined) return all[where] === undefined ? undefined : where;
  const mask = maskOf(net.len);
  const inside = (address: string): boolean => {
    const a = parseIpv4(address);
    return a !== undefined && (a & mask) >>> 0 === (net.addr & mask) >>> 0;
  };
  return Object.keys(all).find((name) => all[name]!.some((a) => inside(a.address)));
}

function withSocket(f: (fd: number) => void): void {
  const fd = sys.socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0) throw new SysError('socket', errno());
  try {
    f(fd);
  } finally {
    sys.close(fd);
  }
}

function enslave(fd: number, ifname: string): void {
  const port = ifreq(ifname);
  if (sys.ioctl(fd, SIOCGIFINDEX, port) < 0) throw new SysError(ifname, errno());
  const ifindex = new DataView(port.buffer).getInt32(IFNAMSIZ, true);
  const br = ifreq(BRIDGE);
  new DataView(br.buffer).setInt32(IFNAMSIZ, ifindex, true);
  // EBUSY: it is in the bridge already.
  if (sys.ioctl(fd, SIOCBRADDIF, br) < 0 && errno() !== EBUSY) throw new SysError(`${BRIDGE}: ${ifname}`, errno());
  up(fd, ifname);
}

function up(fd: number, ifname: string): void {
  const r = ifreq(ifname);
  if (sys.ioctl(fd, SIOCGIFFLAGS, r) < 0) throw new SysError(ifname, errno());
  const v = new DataView(r.buffer);
  const flags = v.getInt16(IFNAMSIZ, true);
  if (flags & IFF_UP) return;
  v.setInt16(IFNAMSIZ, flags | IFF_UP, true);
  if (sys.ioctl(fd, SIOCSIFFLAGS, r) < 0) throw new SysError(ifname, errno());
}
