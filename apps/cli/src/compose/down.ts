import { rmSync } from 'node:fs';
import { composeDown } from './engine.ts';
import { endHands } from './hands-process.ts';
import type { ComposeStack } from './stacks.ts';

/** Ends all that belongs to a stack in containers. */
export async function takeDown(
  s: Pick<ComposeStack, 'stack' | 'project' | 'runDir'>,
  say: (line: string) => void,
): Promise<void> {
  await endHands(s);
  await composeDown({ name: s.project, env: { SKBUS_STACK: s.stack } }, say);
  rmSync(s.runDir, { recursive: true, force: true });
}
