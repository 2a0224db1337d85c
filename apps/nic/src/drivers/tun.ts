import { CLONE_NEWNET, errno, O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_RDWR, sys, SysError } from './libc.ts';

// include/uapi/linux/if_tun.h
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
const TUNSETVNETLE = 0x400454dc;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO_ECN = 0x08;
const IFNAMSIZ = 16;

/** sizeof(struct virtio_net_hdr) */
export const VNET_HDR_LEN = 10;

export interface TapOptions {
  ifname: string;
  netnsPath?: string | undefined;
  offload: boolean;
}

export interface OpenTap {
  fd: number;
  /** Every frame is preceded by a virtio_net_hdr. */
  vnetHdr: boolean;
  /** The device finishes checksums and takes GSO frames. */
  csum: boolean;
  tso: boolean;
  notes: string[];
}

/**
 * Attaches to a TAP device, making it where it is not there yet; it stays when the last fd is closed (TUNSETPERSIST), so
 * that a restarted nic finds the same one. Blocks the calling thread; where `netnsPath` is given the thread visits that
 * namespace, so call it in a worker.
 */
export function openTap(o: TapOptions): OpenTap {
  return inNetns(o.netnsPath, () => {
    const notes: string[] = [];
    const attempts = o.offload ? [true, false] : [false];
    for (const vnetHdr of attempts) {
      const fd = openTun();
      if (!attach(fd, o.ifname, vnetHdr ? IFF_VNET_HDR : 0)) {
        const code = errno();
        sys.close(fd);
        if (vnetHdr && code === 22) {
          notes.push(`tun: ${o.ifname}: no IFF_VNET_HDR, using plain frames`);
          continue;
        }
        throw attachError(o.ifname, code);
      }
      if (sys.ioctlValue(fd, TUNSETPERSIST, 1) < 0)
        notes.push(`tun: ${o.ifname}: will not survive a restart of the nic`);
      return { fd, vnetHdr, ...setOffload(fd, vnetHdr, o.ifname, notes), notes };
    }
    throw attachError(o.ifname, 22);
  });
}

/** Removes a persistent TAP device; where there is none that is fine, too. False: somebody is attached to it. */
export function removeTap(o: { ifname: string; netnsPath?: string | undefined }): boolean {
  return inNetns(o.netnsPath, () => {
    const fd = openTun();
    try {
      return attach(fd, o.ifname, 0) && sys.ioctlValue(fd, TUNSETPERSIST, 0) === 0;
    } finally {
      sys.close(fd);
    }
  });
}

function attach(fd: number, ifname: string, flags: number): boolean {
  const ifr = ifreq(ifname);
  new DataView(ifr.buffer).setInt16(IFNAMSIZ, IFF_TAP | IFF_NO_PI | flags, true);
  return sys.ioctl(fd, TUNSETIFF, ifr) === 0;
}

function setOffload(fd: number, vnetHdr: boolean, ifname: string, notes: string[]): { csum: boolean; tso: boolean } {
  if (!vnetHdr) {
    sys.ioctlValue(fd, TUNSETOFFLOAD, 0);
    return { csum: false, tso: false };
  }
  const word = new Uint8Array(128);
  const set = (req: number, value: number): boolean => {
    new DataView(word.buffer).setInt32(0, value, true);
    return sys.ioctl(fd, req, word) === 0;
  };
  if (!set(TUNSETVNETHDRSZ, VNET_HDR_LEN) || !set(TUNSETVNETLE, 1)) {
    throw new Error(`tun: ${ifname}: the kernel refuses a ${VNET_HDR_LEN}-byte little-endian virtio header`);
  }
  if (sys.ioctlValue(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN) === 0)
    return { csum: true, tso: true };
  if (sys.ioctlValue(fd, TUNSETOFFLOAD, TUN_F_CSUM) === 0) {
    notes.push(`tun: ${ifname}: no TSO, segmenting in software`);
    return { csum: true, tso: false };
  }
  sys.ioctlValue(fd, TUNSETOFFLOAD, 0);
  notes.push(`tun: ${ifname}: no offload, using plain frames`);
  return { csum: false, tso: false };
}

function openTun(): number {
  const fd = sys.open('/dev/net/tun', O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0) return fd;
  const code = errno();
  if (code === 2 || code === 6 || code === 19)
    throw new Error('/dev/net/tun is missing: load the tun module (modprobe tun), or use --nic wire');
  if (code === 1 || code === 13) throw new Error('/dev/net/tun: permission denied: run as root, or use --nic wire');
  throw new SysError('/dev/net/tun', code);
}

function attachError(ifname: string, code: number): Error {
  if (code === 16) return new Error(`${ifname}: another program is attached to this TAP device`);
  if (code === 1)
    return new Error(`${ifname}: attaching to a TAP device needs root (CAP_NET_ADMIN), or use --nic wire`);
  if (code === 22)
    return new Error(`${ifname}: a device of this name exists and is no TAP device, or the name is invalid`);
  return new SysError(`TUNSETIFF ${ifname}`, code);
}

function inNetns<T>(path: string | undefined, f: () => T): T {
  if (path === undefined) return f();
  const home = mustOpen('/proc/thread-self/ns/net');
  let result: T;
  try {
    enter(mustOpen(path), path);
    result = f();
  } finally {
    // After a failed setns() this is a no-op.
    sys.setns(home, CLONE_NEWNET);
    sys.close(home);
  }
  return result;
}

function enter(ns: number, path: string): void {
  const failed = sys.setns(ns, CLONE_NEWNET) < 0;
  const code = errno();
  sys.close(ns);
  if (failed) throw new SysError(`setns ${path}`, code);
}

function mustOpen(path: string): number {
  const fd = sys.open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw new SysError(path, errno());
  return fd;
}

/** struct ifreq (40 bytes) with the name set; longer, so that its memory is outside of the garbage collector's heap. */
function ifreq(name: string): Uint8Array {
  if (!/^[\x21-\x7e]{1,15}$/.test(name) || name.includes('/'))
    throw new Error(`"${name}" is not a valid interface name`);
  const b = new Uint8Array(128);
  for (let i = 0; i < name.length; i++) b[i] = name.charCodeAt(i);
  return b;
}
