import type { HandOver, MacAddr, SkBuff, Tracepoint } from '@skbus/skb';

/** What a device can take off the stack's hands (net_device.features). */
export interface Features {
  /** Finishes a CHECKSUM_PARTIAL sum itself (NETIF_F_HW_CSUM). */
  csum: boolean;
  /** Takes a whole TCPv4 GSO skb (NETIF_F_TSO). */
  tso: boolean;
}

/**
 * The side of a driver that the stack calls (net_device_ops). The driver calls `NetdevCore.receive` for every frame and
 * `NetdevCore.flush` after a batch.
 */
export interface NetdevDriver {
  /** The kernel function that stands for its transmit routine. */
  readonly ndoStartXmit: Tracepoint;
  /**
   * ndo_start_xmit: takes the bytes of the frame (data at the Ethernet header) before it returns and does not keep the
   * skb. False: the ring is full (NETDEV_TX_BUSY).
   */
  xmit(skb: SkBuff): boolean;
  /** Frames taken and not sent yet, oldest first; what sends them calls `NetdevCore.flush` some time later. */
  readonly inRing: number;
  /** No more frames for now (netdev_xmit_more() is false): send what was collected. */
  flush(): void;
}

/** What the driver knows of a received frame. */
export interface RxMeta {
  /**
   * none: nothing checked; valid: checked by the device; partial: the sender is on this machine and left the sum to a
   * device, so that the frame is good by construction.
   */
  csum: 'none' | 'valid' | 'partial';
  /** Positions in the frame, for partial. */
  csumStart?: number;
  csumOffset?: number;
  /** A GSO frame: payload bytes per segment. */
  gsoSize?: number;
  /** SKB_GSO_* */
  gsoType?: number;
}

/** A row of the packet_type table (dev_add_pack). */
export interface PacketType {
  handler: HandOver;
  instance: number;
}

/** `ip -s link`'s names. */
export interface LinkStats {
  rx: { bytes: number; packets: number; errors: number; dropped: number; over_errors: number; multicast: number };
  tx: { bytes: number; packets: number; errors: number; dropped: number; carrier_errors: number; collisions: number };
}

export const newLinkStats = (): LinkStats => ({
  rx: { bytes: 0, packets: 0, errors: 0, dropped: 0, over_errors: 0, multicast: 0 },
  tx: { bytes: 0, packets: 0, errors: 0, dropped: 0, carrier_errors: 0, collisions: 0 },
});

/** `rx_bytes`, `tx_dropped` …: one flat map, as /sys/class/net/DEV/statistics has them. */
export function flatStats(s: LinkStats): Record<string, number> {
  const flat: Record<string, number> = {};
  for (const dir of ['rx', 'tx'] as const) {
    for (const [name, value] of Object.entries(s[dir])) flat[`${dir}_${name}`] = value;
  }
  return flat;
}

/** 02:00 and the IPv4 address: locally administered, the same after every restart, and readable in a capture. */
export const macOfAddress = (addr: number): MacAddr => 0x0200_0000_0000 + addr;
