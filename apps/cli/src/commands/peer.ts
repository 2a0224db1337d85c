import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { CliError } from '../errors.ts';
import { containerOf, type ComposeStack } from '../compose/stacks.ts';
import { apiElsewhere, findAnywhere, type FoundStack } from '../stacks.ts';

/** Runs a command where the TAP's kernel end is. Its exit code, signals, input and output are ours. */
export async function peer(words: readonly string[], stack: string | undefined): Promise<void> {
  // A stack that is named is one of this machine.
  const url = stack === undefined ? apiElsewhere() : undefined;
  if (url !== undefined)
    throw new CliError(`the peer of ${url} is on the machine of the stack, and can only be used there`);
  const s = findAnywhere(stack);
  const argv = 'container' in s ? inContainer(s, words) : inNamespace(s, words);
  const [command, ...args] = argv;
  const child = spawn(command!, args, {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` },
  });
  // From a terminal the child has the signal, too; it decides. What is sent to us alone is passed on.
  process.on('SIGINT', () => {});
  process.on('SIGQUIT', () => {});
  for (const sig of ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) process.on(sig, () => child.kill(sig));
  const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
    (resolve, reject) => {
      child.once('error', (e: NodeJS.ErrnoException) =>
        reject(new CliError(`${command}: ${e.code === 'ENOENT' ? 'command not found' : e.message}`, 127)),
      );
      child.once('exit', (code, signal) => resolve({ code, signal }));
    },
  );
  process.exitCode = signal ? 128 + constants.signals[signal] : (code ?? 1);
}

function inNamespace(s: FoundStack, words: readonly string[]): string[] {
  if (s.backend !== 'tap') {
    throw new CliError(
      `stack ${s.stack} has no Linux peer: its nic is ${s.backend}; a TAP ("skbus up --nic tap", as root) has one`,
    );
  }
  if (s.peerNetns === '') return [...words];
  if (process.getuid?.() !== 0) throw new CliError('entering a network namespace needs root; run skbus as root');
  return ['ip', 'netns', 'exec', s.peerNetns, ...words];
}

function inContainer(s: ComposeStack, words: readonly string[]): string[] {
  const id = containerOf(s, 'peer');
  if (id === undefined)
    throw new CliError(
      `stack ${s.stack} has no Linux peer: start one with "docker compose -p ${s.project} --profile peer up -d peer"`,
    );
  const terminal = process.stdin.isTTY && process.stdout.isTTY ? ['-t'] : [];
  return ['docker', 'exec', '-i', ...terminal, id, ...words];
}
