import { readFileSync, writeFileSync } from 'node:fs';
import type { TargetOptions } from '../../target.ts';
import {
  AF_INET,
  CLONE_NEWNET,
  errno,
  libcCalls as sys,
  memory,
  must,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  SOCK_DGRAM,
} from './libc.ts';
import { sockaddr } from './sockaddr.ts';

// include/uapi/linux/if_tun.h, sockios.h, if.h, route.h
const TUNSETIFF = 0x400454ca;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const SIOCADDRT = 0x890b;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCSIFADDR = 0x8916;
const SIOCSIFNETMASK = 0x891c;
const SIOCSIFMTU = 0x8922;
const IFF_UP = 1;
const IFNAMSIZ = 16;
const RTF_UP = 1;
const RTF_GATEWAY = 2;
/** struct rtentry on 64 bits: dst, gateway and genmask after the padding word, flags behind them. */
const RT_DST = 8;
const RT_GATEWAY = 24;
const RT_GENMASK = 40;
const RT_FLAGS = 56;

const DEVICE = 'tun0';

/**
 * Moves the calling thread, and with it the process's files below /proc/net and /proc/sys/net, into a network namespace
 * that nothing has happened in yet. The one before it ends with its last socket.
 */
export function freshNamespace(): void {
  must('unshare', sys.unshare(CLONE_NEWNET));
}

/** A TUN device with the local address, the remote host behind its gateway. The fd does not block. */
export function openTun(o: TargetOptions): number {
  const fd = must('/dev/net/tun', sys.open('/dev/net/tun', O_RDWR | O_NONBLOCK | O_CLOEXEC));
  const ifr = ifreq(DEVICE);
  new DataView(ifr.buffer).setInt16(IFNAMSIZ, IFF_TUN | IFF_NO_PI, true);
  must('TUNSETIFF', sys.ioctl(fd, TUNSETIFF, ifr));
  const s = must('socket', sys.socket(AF_INET, SOCK_DGRAM, 0));
  try {
    setUp(s, 'lo');
    setAddress(s, SIOCSIFADDR, o.localIp);
    setAddress(s, SIOCSIFNETMASK, netmask(o.prefixLen));
    const mtu = ifreq(DEVICE);
    new DataView(mtu.buffer).setInt32(IFNAMSIZ, o.mtu, true);
    must(`mtu ${o.mtu}`, sys.ioctl(s, SIOCSIFMTU, mtu));
    setUp(s, DEVICE);
    addDefaultRoute(s, o.gatewayIp);
  } finally {
    sys.close(s);
  }
  return fd;
}

/** False: this kernel has no such switch. Throws where it refuses the value. */
export function writeSysctl(name: string, value: string): boolean {
  try {
    writeFileSync(sysctlPath(name), value);
    return true;
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    throw new Error(`sysctl ${name}=${value}: ${code ?? String(e)}`, { cause: e });
  }
}

/** The counters of the namespace, named as nstat names them. */
export function readCounters(): Map<string, number> {
  const counters = new Map<string, number>();
  for (const file of ['/proc/net/snmp', '/proc/net/netstat']) {
    const lines = readFileSync(file, 'utf8').split('\n');
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const [names, values] = [lines[i]!.split(' '), lines[i + 1]!.split(' ')];
      const group = names[0]!.slice(0, -1);
      for (let j = 1; j < names.length; j++) counters.set(group + names[j]!, Number(values[j]));
    }
  }
  return counters;
}

/** `net.ipv4.conf.tun0.rp_filter` or the same with slashes. */
const sysctlPath = (name: string): string => `/proc/sys/${name.includes('/') ? name : name.replaceAll('.', '/')}`;

function ifreq(name: string): Uint8Array {
  const b = memory(40);
  b.set(new TextEncoder().encode(name));
  return b;
}

function setUp(s: number, name: string): void {
  const ifr = ifreq(name);
  must(name, sys.ioctl(s, SIOCGIFFLAGS, ifr));
  const view = new DataView(ifr.buffer);
  view.setInt16(IFNAMSIZ, view.getInt16(IFNAMSIZ, true) | IFF_UP, true);
  must(name, sys.ioctl(s, SIOCSIFFLAGS, ifr));
}

function setAddress(s: number, request: number, ip: string): void {
  const ifr = ifreq(DEVICE);
  ifr.set(sockaddr({ ip, port: 0 }).buf.subarray(0, 16), IFNAMSIZ);
  must(`${DEVICE} ${ip}`, sys.ioctl(s, request, ifr));
}

function addDefaultRoute(s: number, via: string): void {
  const rt = memory(120);
  const put = (ip: string, at: number): void => rt.set(sockaddr({ ip, port: 0 }).buf.subarray(0, 16), at);
  put('0.0.0.0', RT_DST);
  put(via, RT_GATEWAY);
  put('0.0.0.0', RT_GENMASK);
  new DataView(rt.buffer).setUint16(RT_FLAGS, RTF_UP | RTF_GATEWAY, true);
  if (sys.ioctl(s, SIOCADDRT, rt) < 0) throw new Error(`route via ${via}: errno ${errno()}`);
}

const netmask = (prefixLen: number): string => {
  const bits = prefixLen === 0 ? 0 : (0xffff_ffff << (32 - prefixLen)) >>> 0;
  return [24, 16, 8, 0].map((s) => (bits >>> s) & 0xff).join('.');
};
