import { parseRule } from '@skbus/fault';
import type { Plan, Target } from './plan.ts';

interface Need {
  target: Target;
  why: string;
}

/** The targets that a plan can do without: what only one of them can do. */
export function needsOf(p: Pick<Plan, 'steps' | 'expect' | 'setup'>): Need[] {
  const needs: Need[] = [];
  for (const s of p.steps) {
    if (s.host === 'peer')
      needs.push({ target: 'sim', why: `"${s.text}": opposite running services is a Linux kernel` });
    if (s.action.kind !== 'fault') continue;
    const why = processFault(s.action.rule);
    if (why !== undefined) needs.push({ target: 'services', why: `"${s.text}": ${why}` });
  }
  for (const { metric: m, text } of p.expect) {
    const inside = m.kind === 'drop' || m.kind === 'neighbour' || m.kind === 'connections';
    if (inside && m.host === 'peer') needs.push({ target: 'sim', why: `"${text}": a Linux kernel does not tell` });
  }
  if (p.setup.offload)
    needs.push({ target: 'sim', why: '"offload": running services have it unless started with --no-offload' });
  return needs;
}

/** Why a simulation has no such thing. */
function processFault(text: string): string | undefined {
  const action = parseRule(text).rule?.action;
  if (action?.kind !== 'service') return undefined;
  const [layer] = action.args;
  if (layer === 'broker') return 'a simulation has no broker';
  if (layer === 'socket' && (action.name === 'kill' || action.name === 'restart'))
    return 'a simulated program ends with its socket layer';
  return action.name === 'cut' ? 'a simulated layer has no connection to be cut off from' : undefined;
}
