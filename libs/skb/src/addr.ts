/** An IPv4 address as an unsigned 32-bit integer in host order: 10.77.0.2 is 0x0a4d0002. */
export type Ipv4Addr = number;

/** An Ethernet address as an unsigned 48-bit integer (exact in a double): equality and map keys for free. */
export type MacAddr = number;

export const INADDR_ANY: Ipv4Addr = 0;
export const INADDR_LOOPBACK: Ipv4Addr = 0x7f000001;
export const INADDR_BROADCAST: Ipv4Addr = 0xffffffff;
export const MAC_BROADCAST: MacAddr = 0xffffffffffff;

export function formatIpv4(a: Ipv4Addr): string {
  return `${a >>> 24}.${(a >>> 16) & 255}.${(a >>> 8) & 255}.${a & 255}`;
}

/** Strict dotted quad; `undefined` for anything else (no octal, no short forms). */
export function parseIpv4(text: string): Ipv4Addr | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let a = 0;
  for (const p of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(p)) return undefined;
    const n = Number(p);
    if (n > 255) return undefined;
    a = a * 256 + n;
  }
  return a;
}

/** `10.77.0.0/24` → prefix and length; a bare address is a /32. */
export function parseCidr(text: string): { addr: Ipv4Addr; len: number } | undefined {
  const slash = text.indexOf('/');
  const addr = parseIpv4(slash < 0 ? text : text.slice(0, slash));
  if (addr === undefined) return undefined;
  if (slash < 0) return { addr, len: 32 };
  const lenText = text.slice(slash + 1);
  if (!/^\d{1,2}$/.test(lenText) || Number(lenText) > 32) return undefined;
  return { addr, len: Number(lenText) };
}

/** inet_make_mask(): the netmask of a prefix length. */
export function maskOf(len: number): Ipv4Addr {
  return len === 0 ? 0 : (0xffffffff << (32 - len)) >>> 0;
}

export function formatMac(mac: MacAddr): string {
  const hex = mac.toString(16).padStart(12, '0');
  return hex.match(/../g)!.join(':');
}

export function parseMac(text: string): MacAddr | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Number.parseInt(text.replaceAll(':', ''), 16);
}

export const isMulticastMac = (mac: MacAddr): boolean => (Math.floor(mac / 0x10000000000) & 1) === 1;
export const isMulticastIpv4 = (a: Ipv4Addr): boolean => a >>> 28 === 0xe;
export const isLoopbackIpv4 = (a: Ipv4Addr): boolean => a >>> 24 === 127;
/** 0.0.0.0/8 (include/linux/in.h:ipv4_is_zeronet). */
export const isZeronetIpv4 = (a: Ipv4Addr): boolean => a >>> 24 === 0;
