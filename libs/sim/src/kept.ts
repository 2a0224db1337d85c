import type { Layer } from '@skbus/contracts';
import type { NetdevDriver } from '@skbus/dev';
import { NUD_PERMANENT, RTPROT_KERNEL, type NetDevice, type Route } from '@skbus/skb';
import type { Host } from './host.ts';

export interface Device {
  dev: NetDevice;
  features: { csum: boolean; tso: boolean };
  driver: NetdevDriver | undefined;
}

/**
 * What the key-value store and the other layers know of a layer, and what its initcalls do: taken before the layer gets its
 * new engine, put in force again by calling the result when it has.
 */
export function keptOf(host: Host, layer: Layer): () => void {
  switch (layer) {
    case 'nic':
      return keptByNic(host);
    case 'neigh':
      return keptByNeigh(host);
    case 'ip':
      return keptByIp(host);
    case 'tcp': {
      const { sysctl } = host.tcp;
      return () => host.tcp.setSysctl(sysctl);
    }
    default:
      return () => {};
  }
}

function keptByNic(host: Host): () => void {
  const ptypes = host.nic.packetTypes();
  return () => {
    for (const d of host.devices) host.nic.registerNetdevice({ ...d.dev, features: d.features }, d.driver);
    for (const [type, to] of ptypes) host.nic.devAddPack(type, to.handler, to.instance);
  };
}

function keptByNeigh(host: Host): () => void {
  const { shells } = host;
  const permanent = host.neigh.entries().filter((e) => e.state === NUD_PERMANENT);
  return () =>
    shells.neigh.run((now) => {
      for (const { dev } of host.devices) host.neigh.addDevice(dev, now);
      host.neigh.setLocalAddrs(host.ip.addrs(), now);
      for (const e of permanent) host.neigh.set(e.ifindex, e.addr, e.lladdr, NUD_PERMANENT, now);
      // whatever IP cached from the one before is void
      const { epoch } = shells.neigh;
      const nobody = { epoch, ifindex: 0, addr: 0, lladdr: 0, devAddr: 0, connected: false, validMs: 0 };
      shells.ip.post((at) => host.ip.onNeighUpdate(nobody, at));
    });
}

function keptByIp(host: Host): () => void {
  const before = host.ip;
  const protocols = before.protocols();
  const addrs = before.addrs().filter((a) => a.ifindex > 1);
  // The FIB makes the kernel's own routes from the addresses. A gateway must be reachable before it is used.
  const routes = before.routes().filter((r) => r.protocol !== RTPROT_KERNEL);
  routes.sort((a: Route, b: Route) => Number(a.gateway !== 0) - Number(b.gateway !== 0) || b.dstLen - a.dstLen);
  return () =>
    host.shells.ip.run(() => {
      const { ip } = host;
      ip.applySysctl(before.sysctl);
      for (const p of protocols) ip.inetAddProtocol(p.proto, p.handler, p.errHandler);
      for (const { dev } of host.devices) ip.addDevice(dev);
      for (const a of addrs) ip.addAddr(a);
      for (const r of routes) ip.addRoute(r);
    });
}
