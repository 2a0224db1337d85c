import { execFile } from 'node:child_process';
import * as compose from 'docker-compose';
import { CliError } from '../errors.ts';
import { root } from '../folders.ts';
import { progressOf } from './progress.ts';

/** A compose project of this repository, and the variables its file is filled in with. */
export interface Project {
  name: string;
  env: Record<string, string>;
}

/** Stack a is the project that a plain `docker compose up` makes. */
export const projectOf = (stack: string): string => (stack === 'a' ? 'skbus' : `skbus-${stack}`);

/** Throws a CliError with what is missing. */
export async function requireEngine(): Promise<void> {
  const has = async (...args: string[]): Promise<boolean> => (await docker(args)).code === 0;
  if (await has('compose', 'version')) {
    if (await has('info', '--format', '{{.ID}}')) return;
    throw new CliError('no container engine answers: start the docker service, or see "docker info"');
  }
  if (await has('--version')) throw new CliError('docker compose v2 is not installed (docker-compose-plugin)');
  throw new CliError('docker is not installed; without it "skbus up" runs the layers as processes');
}

/** Images, containers, healthy: each step is said as it is done. Rejects with a CliError. */
export async function composeUp(
  p: Project,
  o: { build: boolean; peer: boolean },
  say: (line: string) => void,
): Promise<void> {
  const profile = o.peer ? ['--profile', 'peer'] : [];
  const commandOptions = ['--wait', '--wait-timeout', '120', ...(o.build ? ['--build'] : [])];
  await run(p, profile, say, (options) => compose.upAll({ ...options, commandOptions }));
}

/** Containers, networks, volumes with the keys: nothing is left but the images. */
export async function composeDown(p: Project, say: (line: string) => void): Promise<void> {
  const commandOptions = ['-v', '--remove-orphans', '-t', '5'];
  await run(p, ['--profile', 'peer'], say, (options) => compose.downAll({ ...options, commandOptions }));
}

async function run(
  p: Project,
  composeOptions: string[],
  say: (line: string) => void,
  how: (options: compose.IDockerComposeOptions) => Promise<compose.IDockerComposeResult>,
): Promise<void> {
  const told = progressOf(p.name, say);
  try {
    await how({
      cwd: root,
      env: { ...process.env, ...p.env },
      composeOptions: ['-p', p.name, '--progress', 'plain', ...composeOptions],
      callback: (chunk) => told.take(chunk.toString()),
    });
  } catch (e) {
    if (e instanceof Error) throw new CliError(e.message);
    const why = told.complaint();
    throw new CliError(why === '' ? `docker compose ended with ${(e as compose.IDockerComposeResult).exitCode}` : why);
  }
}

export interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

/** `docker …` to its end. */
export function docker(args: readonly string[]): Promise<Answer> {
  return new Promise((resolve) => {
    execFile('docker', args, { maxBuffer: 1 << 26 }, (e, stdout, stderr) =>
      resolve({ code: e ? (typeof e.code === 'number' ? e.code : -1) : 0, stdout, stderr }),
    );
  });
}

/** As docker(); rejects with what it complains about. */
export async function dockerOk(args: readonly string[]): Promise<string> {
  const r = await docker(args);
  if (r.code !== 0) throw new CliError(`docker ${args[0]}: ${r.stderr.trim().split('\n').at(-1)}`);
  return r.stdout.trim();
}
