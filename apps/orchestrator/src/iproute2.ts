import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';

/** A command of iproute2 failed; the message is a sentence. */
export class IpRouteError extends Error {
  override name = 'IpRouteError';
}

const IP_PATHS = ['/usr/sbin/ip', '/sbin/ip', '/usr/bin/ip', '/bin/ip'];
export const findIp = (): string | undefined => IP_PATHS.find((p) => existsSync(p));

/** Runs `ip ARGS`, resolves with its stdout. */
export function ip(...args: string[]): Promise<string> {
  const bin = findIp();
  if (!bin)
    return Promise.reject(new IpRouteError('the program ip is missing: apt-get install iproute2, or use --nic wire'));
  return new Promise((resolve, reject) => {
    execFile(bin, args, { timeout: 10_000 }, (e, stdout, stderr) => {
      if (!e) resolve(stdout);
      else reject(new IpRouteError(`ip ${args.join(' ')}: ${stderr.trim() || e.message}`));
    });
  });
}

export const netnsPath = (name: string): string => `/run/netns/${name}`;
export const netnsExists = (name: string): boolean => existsSync(netnsPath(name));

/** The namespace that is the Linux peer, with its loopback up. True: it was not there before. */
export async function makeNetns(name: string): Promise<boolean> {
  const made = !netnsExists(name);
  if (made) await ip('netns', 'add', name);
  await ip('-n', name, 'link', 'set', 'lo', 'up');
  return made;
}

/** The namespace has no device but loopback and, maybe, this one. */
export async function holdsOnly(netns: string, ifname: string): Promise<boolean> {
  const links = JSON.parse((await ip('-n', netns, '-j', 'link', 'show')) || '[]') as { ifname: string }[];
  return links.every((l) => l.ifname === 'lo' || l.ifname === ifname);
}

/** Everything in the namespace ends with it. */
export async function removeNetns(name: string, stop: (pids: number[]) => Promise<void>): Promise<void> {
  if (!netnsExists(name)) return;
  const pids = (await ip('netns', 'pids', name).catch(() => ''))
    .split('\n')
    .map(Number)
    .filter((n) => n > 1);
  if (pids.length > 0) await stop(pids);
  await ip('netns', 'del', name);
}

const inside = (netns: string): string[] => (netns === '' ? [] : ['-n', netns]);

/** Gives the kernel's end of the TAP its address and brings it up; harmless when it has been done before. */
export async function configurePeer(netns: string, ifname: string, cidr: string | undefined): Promise<void> {
  // No router solicitations and the like: the stack does not speak IPv6, and a capture should show what was asked for.
  await ip(...inside(netns), 'link', 'set', 'dev', ifname, 'addrgenmode', 'none').catch(() => '');
  if (cidr !== undefined) await ip(...inside(netns), 'addr', 'replace', cidr, 'dev', ifname);
  await ip(...inside(netns), 'link', 'set', 'dev', ifname, 'up');
}

/** Removes the TAP, which outlives the nic (TUNSETPERSIST). */
export async function removeLink(netns: string, ifname: string): Promise<void> {
  if (netns !== '' && !netnsExists(netns)) return;
  await ip(...inside(netns), 'link', 'del', 'dev', ifname).catch(() => '');
}
