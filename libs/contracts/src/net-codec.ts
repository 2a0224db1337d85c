import type {
  IfAddr,
  MacAddr,
  NeighEntry,
  NeighHint,
  NeighUpdate,
  NetDevice,
  Route,
  RouteQuery,
  RouteReply,
} from '@skbus/skb';
import { getMac, putMac } from '@skbus/wire';
import { skbus } from '../gen/skbus.js';

// Engine types ⇄ generated messages. They differ where the wire wants bytes (Ethernet addresses); everywhere else fields
// are copied by name, so that an engine keeps plain objects of its own and never a view of a message.

export function macToBytes(mac: MacAddr | undefined): Uint8Array {
  if (mac === undefined) return new Uint8Array(0);
  const b = new Uint8Array(6);
  putMac(b, 0, mac);
  return b;
}

export const macFromBytes = (b: Uint8Array | null | undefined): MacAddr | undefined =>
  b && b.length === 6 ? getMac(b, 0) : undefined;

export const devToPb = (d: NetDevice, stats: Record<string, number> = {}): skbus.v1.NetDevice.$Properties => ({
  ...d,
  mac: macToBytes(d.mac),
  stats,
});

export const devFromPb = (m: skbus.v1.NetDevice): NetDevice => ({
  ifindex: m.ifindex,
  name: m.name,
  mac: macFromBytes(m.mac) ?? 0,
  mtu: m.mtu,
  flags: m.flags,
});

export const addrFromPb = (m: skbus.v1.IfAddr): IfAddr => ({
  ifindex: m.ifindex,
  local: m.local,
  prefixLen: m.prefixLen,
  broadcast: m.broadcast,
  scope: m.scope,
  label: m.label,
});

export const routeFromPb = (m: skbus.v1.Route): Route => ({
  dst: m.dst,
  dstLen: m.dstLen,
  gateway: m.gateway,
  oif: m.oif,
  prefsrc: m.prefsrc,
  table: m.table,
  type: m.type,
  scope: m.scope,
  protocol: m.protocol,
  metric: m.metric,
  tos: m.tos,
  mtu: m.mtu,
});

export const neighToPb = (n: NeighEntry): skbus.v1.NeighEntry.$Properties => ({ ...n, lladdr: macToBytes(n.lladdr) });

export const neighFromPb = (m: skbus.v1.NeighEntry): NeighEntry => ({
  ifindex: m.ifindex,
  addr: m.addr,
  lladdr: macFromBytes(m.lladdr),
  state: m.state,
  usedMs: m.usedMs,
  confirmedMs: m.confirmedMs,
  updatedMs: m.updatedMs,
  probes: m.probes,
});

export const queryFromPb = (m: skbus.v1.RouteQuery): RouteQuery => ({
  id: m.id,
  daddr: m.daddr,
  saddr: m.saddr,
  oif: m.oif,
  tos: m.tos,
});

export const replyFromPb = (m: skbus.v1.RouteReply): RouteReply => ({
  id: m.id,
  errno: m.errno,
  daddr: m.daddr,
  saddr: m.saddr,
  oif: m.oif,
  mtu: m.mtu,
  gateway: m.gateway,
  type: m.type,
});

export const neighUpdateToPb = (u: NeighUpdate): skbus.v1.NeighUpdate.$Properties => ({
  ...u,
  lladdr: macToBytes(u.lladdr),
  devAddr: macToBytes(u.devAddr),
});

export const neighUpdateFromPb = (m: skbus.v1.NeighUpdate): NeighUpdate => ({
  epoch: m.epoch,
  ifindex: m.ifindex,
  addr: m.addr,
  lladdr: macFromBytes(m.lladdr) ?? 0,
  devAddr: macFromBytes(m.devAddr) ?? 0,
  connected: m.connected,
  validMs: m.validMs,
});

export const hintFromPb = (m: skbus.v1.NeighHint): NeighHint => ({
  ifindex: m.ifindex,
  addr: m.addr,
  confirm: m.confirm,
});
