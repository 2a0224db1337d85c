import type { Host, HostOptions } from './host.ts';
import type { Link, LinkModel } from './link.ts';
import { Net } from './net.ts';
import { Program } from './program.ts';

export interface Two {
  net: Net;
  a: Host;
  b: Host;
  link: Link;
  /** A program on each. */
  onA: Program;
  onB: Program;
}

/** 10.77.0.1 and 10.77.0.2 on one cable. */
export function twoHosts(
  model: Partial<LinkModel> = {},
  opts: HostOptions & { seed?: number; mtu?: number; b?: HostOptions } = {},
): Two {
  const { seed, mtu, b: optsB, ...rest } = opts;
  const net = new Net(seed ?? 1);
  const a = net.host('a', rest);
  const b = net.host('b', { ...rest, ...optsB });
  const link = net.link(model);
  const port = mtu === undefined ? {} : { mtu };
  a.attach(link, '10.77.0.1/24', port);
  b.attach(link, '10.77.0.2/24', port);
  return { net, a, b, link, onA: new Program(net, a), onB: new Program(net, b) };
}
