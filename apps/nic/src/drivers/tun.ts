import { errno, inNetns, openTun, sys, SysError } from '@skbus/libc';

// include/uapi/linux/if_tun.h
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOFFLOAD = 0x400454d0;
const TUNGETIFF = 0x800454d2;
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
  /** A descriptor of /dev/net/tun that somebody else keeps open, too: the device stays as it is while no nic runs. */
  keptFd?: number | undefined;
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
 * Attaches to a TAP device, making it where it is not there yet. Blocks the calling thread; where `netnsPath` is given the
 * thread visits that namespace, so call it in a worker.
 *
 * With `keptFd` a restarted nic finds the queue as the one before has left it, the frames in it included, and the kernel's end
 * has not lost its carrier. Else the device is made to stay when its last fd is closed (TUNSETPERSIST), but it has no
 * carrier meanwhile.
 */
export function openTap(o: TapOptions): OpenTap {
  if (o.keptFd !== undefined) return openKept(o, o.keptFd);
  return inNetns(o.netnsPath, () => {
    const notes: string[] = [];
    for (const vnetHdr of o.offload ? [true, false] : [false]) {
      const fd = openTun();
      if (attached(fd, o, vnetHdr, notes, () => sys.close(fd))) {
        if (sys.ioctlValue(fd, TUNSETPERSIST, 1) < 0)
          notes.push(`tun: ${o.ifname}: will not survive a restart of the nic`);
        return { fd, vnetHdr, ...setOffload(fd, vnetHdr, o.ifname, notes), notes };
      }
    }
    throw attachError(o.ifname, 22);
  });
}

function openKept(o: TapOptions, fd: number): OpenTap {
  const notes: string[] = [];
  const now = attachedAs(fd);
  if (now !== undefined) {
    if (now.ifname !== o.ifname) throw new Error(`${o.ifname}: descriptor ${fd} belongs to ${now.ifname}`);
    return { fd, vnetHdr: now.vnetHdr, ...setOffload(fd, now.vnetHdr, o.ifname, notes), notes };
  }
  // The first start of the stack, or somebody has deleted the device.
  for (const vnetHdr of o.offload ? [true, false] : [false])
    if (attached(fd, o, vnetHdr, notes, () => {}))
      return { fd, vnetHdr, ...setOffload(fd, vnetHdr, o.ifname, notes), notes };
  throw attachError(o.ifname, 22);
}

/** The device that a descriptor is attached to (TUNGETIFF); `undefined`: none. */
function attachedAs(fd: number): { ifname: string; vnetHdr: boolean } | undefined {
  const ifr = new Uint8Array(128);
  if (sys.ioctl(fd, TUNGETIFF, ifr) < 0) return undefined;
  const flags = new DataView(ifr.buffer).getUint16(IFNAMSIZ, true);
  const ifname = new TextDecoder().decode(ifr.subarray(0, ifr.indexOf(0)));
  return { ifname, vnetHdr: (flags & IFF_VNET_HDR) !== 0 };
}

/** False: not with virtio headers, try without. */
function attached(fd: number, o: TapOptions, vnetHdr: boolean, notes: string[], giveUp: () => void): boolean {
  if (attach(fd, o.ifname, vnetHdr ? IFF_VNET_HDR : 0)) return true;
  const code = errno();
  giveUp();
  if (!vnetHdr || code !== 22) throw attachError(o.ifname, code);
  notes.push(`tun: ${o.ifname}: no IFF_VNET_HDR, using plain frames`);
  return false;
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

function attachError(ifname: string, code: number): Error {
  if (code === 16) return new Error(`${ifname}: another program is attached to this TAP device`);
  if (code === 1)
    return new Error(`${ifname}: attaching to a TAP device needs root (CAP_NET_ADMIN), or use --nic wire`);
  if (code === 22)
    return new Error(`${ifname}: a device of this name exists and is no TAP device, or the name is invalid`);
  return new SysError(`TUNSETIFF ${ifname}`, code);
}

/** struct ifreq (40 bytes) with the name set; longer, so that its memory is outside of the garbage collector's heap. */
export function ifreq(name: string): Uint8Array {
  if (!/^[\x21-\x7e]{1,15}$/.test(name) || name.includes('/'))
    throw new Error(`"${name}" is not a valid interface name`);
  const b = new Uint8Array(128);
  for (let i = 0; i < name.length; i++) b[i] = name.charCodeAt(i);
  return b;
}
