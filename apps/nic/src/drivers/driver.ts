import type { Features, NetdevDriver, RxMeta } from '@skbus/dev';
import type { MacAddr } from '@skbus/skb';

/** What `skbus up` tells the nic about the cable. */
export interface NicConfig {
  backend: 'tap' | 'udp' | 'wire';
  /** The stack's name for the device: skb0. */
  ifname: string;
  mac: MacAddr;
  mtu: number;
  /** tap: checksum and segmentation offload (IFF_VNET_HDR), where the kernel has it. */
  offload: boolean;
  /** tap: the device's name on the kernel's side. */
  kernelIfname: string;
  /** tap: the network namespace of the kernel's side, `/run/netns/NAME`; absent: ours. */
  netnsPath?: string;
  /** tap: a descriptor of /dev/net/tun that the orchestrator keeps open while there is no nic. */
  tapFd?: number;
  /** tap: an interface, or the subnet of one, that the TAP is bridged with; absent: the TAP's kernel end is the peer. */
  uplink?: string;
  /** udp: host:port to bind and to send to. */
  udpLocal?: string;
  udpPeer?: string;
  /** udp: also accept addresses that are not loopback. */
  udpAnyHost?: boolean;
  /** wire: the name of the segment. */
  cable?: string;
}

/** Where a driver puts received frames: any number of `frame`, then one `done`. */
export interface RxSink {
  /** The bytes may change after `done` has returned: whoever keeps them copies them. */
  frame(bytes: Uint8Array, meta: RxMeta): void;
  done(): void;
  /** Frames that had to wait have left the transmit ring. */
  sent(): void;
}

/** A back end of skb0. Everything beneath the Ethernet header is its business. */
export interface NicDriver extends NetdevDriver {
  readonly features: Features;
  /** Frames go to `sink` from now on. Rejects with one sentence for a person. */
  start(sink: RxSink): Promise<void>;
  stop(): Promise<void>;
  /** Counters beyond `ip -s link`, for `skbus status`. */
  counters(): Record<string, number>;
}

/** What a driver needs of its surroundings. */
export interface DriverEnv {
  printk(line: string): void;
  /** The device is gone for good (somebody deleted it); the service should stop. */
  fatal(reason: string): void;
}
