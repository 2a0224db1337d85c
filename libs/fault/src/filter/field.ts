import type { SkBuff } from '@skbus/skb';
import type { PacketView } from './packet-view.ts';

/**
 * `none`: is there or is not. `bytes`: may be cut into slices. `protocol`: a header's name; as bytes it is the header and all
 * that follows it.
 */
export type FieldType = 'uint' | 'bool' | 'ipv4' | 'mac' | 'bytes' | 'text' | 'protocol' | 'none';

/** One name of the language. The compiler, `set`, completion and the docs all read this. */
export interface FilterField {
  name: string;
  type: FieldType;
  /** What it is, in a few words. */
  about: string;
  /** Of a uint: the greatest there can be. */
  max?: number;
  /** uint, bool, ipv4, mac: a reader for each place where it may stand; -1: it is not there. */
  read?: readonly NumberReader[];
  /** bytes, protocol: sets view.from and view.to; false: it is not there. */
  span?: (v: PacketView) => boolean;
  /** text */
  text?: (v: PacketView) => string | undefined;
  /** none */
  present?: (v: PacketView) => boolean;
  /** Where in a header it is stored. Only such fields can be set, and those that `put` sets in the skb itself. */
  place?: HeaderPlace;
  put?: (skb: SkBuff, value: number) => void;
}

export type NumberReader = (v: PacketView) => number;

export type HeaderName = 'eth' | 'arp' | 'ip' | 'icmp' | 'tcp' | 'udp';

/** `size` bytes at `at`, of which `mask` says which bits (moved down by `shift`; up when that is negative). */
export interface HeaderPlace {
  header: HeaderName;
  at: number;
  size: 1 | 2 | 4 | 6;
  mask?: number;
  shift?: number;
  /** `at` counts from the beginning of this TCP option, which is `least` bytes long. */
  option?: number;
  least?: number;
  /** It is only meant by some messages. */
  when?: (v: PacketView) => boolean;
  /** Where it stands while there is no IP header yet. */
  flow?: 'saddr' | 'daddr' | 'proto' | 'tos' | 'ttl' | 'df';
}
