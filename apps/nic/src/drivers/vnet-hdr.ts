import type { RxMeta } from '@skbus/dev';
import { CHECKSUM_PARTIAL, SKB_GSO_TCPV4, type SkBuff } from '@skbus/skb';
import { VNET_HDR_LEN } from './tun.ts';

// struct virtio_net_hdr (include/uapi/linux/virtio_net.h), little-endian by TUNSETVNETLE
const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_ECN = 0x80;

const PLAIN: RxMeta = { csum: 'none' };
const VALID: RxMeta = { csum: 'valid' };

/** Reads the header at `at`. A GSO kind that was not asked for gives gsoType 0, which the stack refuses. */
export function readVnetHdr(b: Uint8Array, at: number): RxMeta {
  const flags = b[at]!;
  const kind = b[at + 1]!;
  if (flags === 0 && kind === GSO_NONE) return PLAIN;
  if (flags === DATA_VALID && kind === GSO_NONE) return VALID;
  const meta: RxMeta = { csum: flags & NEEDS_CSUM ? 'partial' : flags & DATA_VALID ? 'valid' : 'none' };
  if (flags & NEEDS_CSUM) {
    meta.csumStart = le16(b, at + 6);
    meta.csumOffset = le16(b, at + 8);
  }
  if (kind !== GSO_NONE) {
    meta.gsoSize = le16(b, at + 4);
    meta.gsoType = (kind & ~GSO_ECN) === GSO_TCPV4 ? SKB_GSO_TCPV4 : 0;
  }
  return meta;
}

/** Writes the header for an skb with data at the Ethernet header. `tso`: the device takes GSO frames. */
export function writeVnetHdr(skb: SkBuff, tso: boolean, b: Uint8Array, at: number): void {
  b.fill(0, at, at + VNET_HDR_LEN);
  if (skb.ipSummed !== CHECKSUM_PARTIAL) return;
  const start = skb.csumStart - skb.data;
  b[at] = NEEDS_CSUM;
  put16le(b, at + 6, start);
  put16le(b, at + 8, skb.csumOffset);
  if (!tso || skb.gsoSize === 0 || skb.gsoType !== SKB_GSO_TCPV4) return;
  const tcp = skb.csumStart;
  const hdrLen = start + (tcp + 12 < skb.tail ? (skb.buf[tcp + 12]! >>> 4) * 4 : 0);
  // A frame of one segment is no GSO frame; the kernel would refuse it.
  if (skb.len - hdrLen <= skb.gsoSize) return;
  b[at + 1] = GSO_TCPV4 | ((skb.buf[tcp + 13] ?? 0) & 0x80 ? GSO_ECN : 0);
  put16le(b, at + 2, hdrLen);
  put16le(b, at + 4, skb.gsoSize);
}

const le16 = (b: Uint8Array, at: number): number => b[at]! | (b[at + 1]! << 8);

function put16le(b: Uint8Array, at: number, v: number): void {
  b[at] = v;
  b[at + 1] = v >>> 8;
}
