import type { Plan } from '../plan.ts';
import type { RuleView, StackApi } from './api.ts';

const DEVICE = 'skb0';

/** How to put back what was changed, the last thing first. */
export class Cleanup {
  private readonly undo: (() => Promise<unknown>)[] = [];

  add(fn: () => Promise<unknown>): void {
    this.undo.push(fn);
  }

  /** Sets it, and remembers what it was. */
  async sysctl(api: StackApi, name: string, value: string): Promise<void> {
    const before = await api.get<Record<string, string>>(`/sysctl?name=${encodeURIComponent(name)}`);
    await api.send('PUT', '/sysctl', { name, value });
    for (const [n, v] of Object.entries(before)) this.add(() => api.send('PUT', '/sysctl', { name: n, value: v }));
  }

  async run(): Promise<void> {
    for (const fn of this.undo.toReversed()) await fn().catch(() => {});
  }
}

/** As after a start, as far as neighbours go, and the cable is as the plan has it: by rules on the device, both ways. */
export async function setUp(
  plan: Plan,
  api: StackApi,
  cleanup: Cleanup,
  ruleAdded: (id: string) => void,
): Promise<void> {
  const { latencyMs, bitsPerSecond, mtu, sysctl } = plan.setup;
  await api.send('POST', '/neigh/flush', { dev: DEVICE });
  const words = [
    ...(latencyMs === undefined ? [] : [`delay ${latencyMs}ms`]),
    ...(bitsPerSecond === undefined ? [] : [`rate ${bitsPerSecond}bit`]),
  ];
  if (words.length > 0)
    for (const dir of ['rx', 'tx']) {
      const rule = { id: `cable-${dir}`, text: `at nic ${dir} ${words.join(' ')}` };
      ruleAdded((await api.send<RuleView>('POST', '/faults', rule)).id);
    }
  for (const [name, value] of Object.entries(sysctl)) await cleanup.sysctl(api, name, value);
  for (const [dst, via] of Object.entries(plan.setup.routes)) {
    await api.send('POST', '/route', { dst, via });
    cleanup.add(() => api.send('DELETE', '/route', { dst, via }));
  }
  if (mtu === undefined) return;
  const devices = await api.get<{ name: string; mtu: number }[]>('/link');
  const before = devices.find((d) => d.name === DEVICE)?.mtu ?? 1500;
  await api.send('PATCH', `/link/${DEVICE}`, { mtu });
  cleanup.add(() => api.send('PATCH', `/link/${DEVICE}`, { mtu: before }));
}
