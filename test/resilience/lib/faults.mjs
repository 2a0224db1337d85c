import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../bench/lib/children.mjs';

const HANG_MS = 2_000;
const CUT_MS = 2_000;

/** @typedef {{ pidOf: (layer: string) => Promise<number>, skbus: (...args: string[]) => Promise<string>, brokerPort: number }} Target */

/** Does it; resolves when the fault is over (not the recovery). @param {import('./plan.mjs').Fault} fault @param {string} layer @param {Target} t */
export async function inject(fault, layer, t) {
  if (fault === 'none') return;
  if (fault === 'upgrade') {
    await t.skbus('upgrade', layer);
    return;
  }
  const pid = await t.pidOf(layer);
  if (fault === 'kill') process.kill(pid, 'SIGKILL');
  else if (fault === 'restart') process.kill(pid, 'SIGTERM');
  else if (fault === 'twice') {
    process.kill(pid, 'SIGKILL');
    process.kill(await another(layer, pid, t), 'SIGKILL');
  } else if (fault === 'hang') {
    process.kill(pid, 'SIGSTOP');
    await sleep(HANG_MS);
    process.kill(pid, 'SIGCONT');
  } else await cut(pid, t.brokerPort);
}

/** The one that takes the place of a process that was just killed. @param {string} layer @param {number} dead @param {Target} t */
async function another(layer, dead, t) {
  for (let i = 0; i < 500; i++) {
    const pid = await t.pidOf(layer);
    if (pid > 0 && pid !== dead) return pid;
    await sleep(10);
  }
  throw new Error(`${layer} does not come back`);
}

/** Nothing passes between a process and the broker: both of its connections meet a firewall. @param {number} pid @param {number} brokerPort */
async function cut(pid, brokerPort) {
  const ports = portsTo(pid, brokerPort);
  const rules = ports.flatMap((p) => [
    ['INPUT', '-i', 'lo', '-p', 'tcp', '--sport', String(p), '--dport', String(brokerPort), '-j', 'DROP'],
    ['INPUT', '-i', 'lo', '-p', 'tcp', '--dport', String(p), '--sport', String(brokerPort), '-j', 'DROP'],
  ]);
  for (const r of rules) await run(['iptables', '-w', '-A', ...r]);
  await sleep(CUT_MS);
  for (const r of rules) await run(['iptables', '-w', '-D', ...r]);
}

/** Local ports of a process's connections to the broker. @param {number} pid @param {number} brokerPort */
function portsTo(pid, brokerPort) {
  const inodes = new Set();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const inode = /^socket:\[(\d+)\]$/.exec(readlink(`/proc/${pid}/fd/${fd}`))?.[1];
    if (inode) inodes.add(inode);
  }
  return readFileSync('/proc/self/net/tcp', 'utf8')
    .split('\n')
    .map((l) => l.trim().split(/\s+/))
    .filter((f) => inodes.has(f[9]) && Number.parseInt(f[2]?.split(':')[1] ?? '', 16) === brokerPort)
    .map((f) => Number.parseInt(f[1]?.split(':')[1] ?? '', 16));
}

/** @param {string} path */
function readlink(path) {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
