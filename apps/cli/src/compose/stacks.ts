import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { CliError } from '../errors.ts';
import { runRoot } from '../folders.ts';

/** A stack each of whose layers is a container. */
export interface ComposeStack {
  stack: string;
  /** As `docker compose -p` has it. */
  project: string;
  /** Of the orchestrator. */
  container: string;
  api: string;
  /** What the CLI itself remembers of it. */
  runDir: string;
}

export const runDirOf = (project: string): string => join(runRoot(), `${project}.compose`);

const DOCKER_MS = 10_000;
const FIELDS = ['{{.ID}}', '{{.Label "skbus.stack"}}', '{{.Label "com.docker.compose.project"}}', '{{.Ports}}'];

/**
 * The stacks whose orchestrator is a container that runs on this machine, or, with `left`, is at least there; none where there is
 * no engine.
 */
export function composeStacks(left = false): ComposeStack[] {
  const rows = docker(['ps', ...(left ? ['-a'] : []), '--filter', 'label=skbus.stack', '--format', FIELDS.join('\t')]);
  if (rows === undefined) return [];
  return rows.split('\n').flatMap((row) => {
    const [container, stack, project, ports] = row.split('\t');
    const port = /127\.0\.0\.1:(\d+)->7070\/tcp/.exec(ports ?? '')?.[1];
    if (!container || !stack || !project || (port === undefined && !left)) return [];
    const runDir = runDirOf(project);
    return [{ stack, project, container, runDir, api: `http://127.0.0.1:${port ?? 0}` }];
  });
}

/** The control API asks for the token that the keys service has made; whoever may use the engine may have it. */
export function tokenOf(s: ComposeStack): string {
  const token = docker(['exec', s.container, 'cat', '/keys/api-token']);
  if (token === undefined)
    throw new CliError(`the orchestrator of stack ${s.stack} (container ${s.container}) does not answer`);
  return token.trim();
}

/** The container of one of its services; undefined: it does not run. */
export const containerOf = (s: ComposeStack, service: string): string | undefined =>
  docker([
    'ps',
    '-q',
    ...['--filter', `label=com.docker.compose.project=${s.project}`],
    ...['--filter', `label=com.docker.compose.service=${service}`],
  ])?.trim() || undefined;

function docker(args: readonly string[]): string | undefined {
  try {
    return execFileSync('docker', args, {
      encoding: 'utf8',
      timeout: DOCKER_MS,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    return undefined;
  }
}
