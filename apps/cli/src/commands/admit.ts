import { execFile } from 'node:child_process';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { CliError, UsageError } from '../errors.ts';
import { orchestratorDir } from '../folders.ts';
import { print, say } from '../output.ts';
import { findStack } from '../stacks.ts';

/** Lets a stack of another machine join the wire of this one: makes what has to be carried there. */
export async function admit(guest: string, o: { stack?: string }): Promise<void> {
  if (!/^[a-z0-9_-]{1,32}$/.test(guest)) throw new UsageError(`${guest}: expected 1 to 32 of a–z, 0–9, _ and -`);
  const s = findStack(o.stack);
  if (s.backend !== 'wire') throw new CliError(`stack ${s.stack} has no wire to join: its nic is ${s.backend}`);
  if (guest === s.stack) throw new UsageError(`${guest} is the name of this stack: the other one needs another`);
  const dir = await run(s.runDir, guest);
  print(dir);
  const url = s.nats.replace('127.0.0.1', hostname());
  say('This folder is the key to the wire: carry it to the other machine, by a safe way, and there:');
  say(`  skbus up --stack ${guest} --nic wire --nats-url ${url} --nats-keys FOLDER --append ip=ADDRESS::…`);
}

function run(runDir: string, guest: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [join(orchestratorDir, 'admit.js'), runDir, guest], (e, stdout, stderr) => {
      if (e) reject(new CliError(`${guest} cannot be admitted: ${stderr.trim() || e.message}`));
      else resolve(stdout.trim());
    });
  });
}
