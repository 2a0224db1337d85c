import { docker } from './engine.ts';
import type { ComposeStack } from './stacks.ts';

/** What the engine knows of a service that its orchestrator does not. */
export interface Container {
  state: string;
  restarts: number;
  uptimeMs: number;
}

interface Inspected {
  RestartCount: number;
  State: { Status: string; Running: boolean; StartedAt: string };
  Config: { Labels: Record<string, string> };
}

/** By the names of the services. */
export async function containersOf(s: ComposeStack): Promise<Map<string, Container>> {
  const filter = ['--filter', `label=com.docker.compose.project=${s.project}`];
  const ids = (await docker(['ps', '-aq', ...filter])).stdout.split('\n').filter(Boolean);
  const all = new Map<string, Container>();
  if (ids.length === 0) return all;
  // One that is removed at this moment is not in the answer.
  const { stdout } = await docker(['inspect', ...ids]);
  for (const { RestartCount: restarts, State, Config } of JSON.parse(stdout || '[]') as Inspected[]) {
    const name = Config.Labels['com.docker.compose.service'];
    const uptimeMs = State.Running ? Math.max(0, Date.now() - Date.parse(State.StartedAt)) : 0;
    if (name !== undefined) all.set(name, { state: State.Status, restarts, uptimeMs });
  }
  return all;
}
