import type { TcpStack } from '../stack.ts';

/** Makes every connection of a stack start at `isn`: for runs across the wrap of the sequence space. */
export function pinIsn(tcp: TcpStack, isn: number): void {
  const inner = tcp as unknown as { cx: { secrets: { isn: () => number } } };
  inner.cx.secrets.isn = () => isn >>> 0;
}
