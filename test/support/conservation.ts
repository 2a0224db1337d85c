import { expect } from '@jest/globals';
import { eventually, type Stack } from './stack.ts';

interface Ledgers {
  services: {
    name: string;
    ledger?: {
      received: number;
      created: number;
      passed: number;
      consumed: number;
      queued: number;
      dropped: Record<string, number>;
      imbalance: number;
    };
  }[];
  /** Per subject, over all services. */
  bus: Record<string, { sent: number; got: number; lost: number }>;
}

/**
 * No skb disappears in silence (DESIGN 1.4): in each service received + created = passed + consumed + dropped + queued, and
 * between the services what one published the other received. `strangers`: somebody else publishes skbs, too, or a
 * service was restarted and counts from 0; then only the services are looked at. Packets may be on their way when the first answer is taken, so it is asked until it holds; a leak never does.
 */
export async function expectConserved(stack: Stack, opts: { strangers?: boolean } = {}): Promise<void> {
  let last: Ledgers | undefined;
  const off = (): string[] => [
    ...(last?.services ?? [])
      .filter((s) => s.ledger && s.ledger.imbalance !== 0)
      .map((s) => `${s.name}: ${JSON.stringify(s.ledger)}`),
    ...Object.entries(opts.strangers ? {} : (last?.bus ?? {}))
      .filter(([, n]) => n.sent !== n.got || n.lost > 0)
      .map(([subject, n]) => `${subject}: ${JSON.stringify(n)}`),
  ];
  try {
    await eventually(
      'skbs in = out + queued + dropped in every service',
      async () => {
        last = await stack.json<Ledgers>('status');
        return off().length === 0;
      },
      5_000,
    );
  } catch {
    expect(off()).toEqual([]);
  }
  expect(
    last!.services
      .filter((s) => s.ledger)
      .map((s) => s.name)
      .sort(),
  ).toEqual(['ip', 'neigh', 'nic', 'socket', 'tcp', 'udp']);
}
