import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { CliError } from '../errors.ts';
import { findStack } from '../stacks.ts';

/** Runs a command where the TAP's kernel end is. Its exit code, signals, input and output are ours. */
export async function peer(words: readonly string[], stack: string | undefined): Promise<void> {
  const s = findStack(stack);
  if (s.backend !== 'tap') {
    throw new CliError(
      `stack ${s.stack} has no Linux peer: its nic is ${s.backend}; a TAP ("skbus up --nic tap", as root) has one`,
    );
  }
  const argv = s.peerNetns === '' ? [...words] : ['ip', 'netns', 'exec', s.peerNetns, ...words];
  if (s.peerNetns !== '' && process.getuid?.() !== 0)
    throw new CliError('entering a network namespace needs root; run skbus as root');
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
