import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Api } from '../api-client.ts';
import { CliError } from '../errors.ts';
import { dockerOk } from './engine.ts';
import { composeStacks, type ComposeStack } from './stacks.ts';

/** What the orchestrator wants done. It has no access to the engine, which would be access to the machine; who runs this has. */
interface Deed {
  name: 'kill' | 'hang' | 'restart' | 'cut';
  service: string;
  forMs: number;
}

const GONE_AFTER_MS = 30_000;
const PAUSE_TRIES = 5;

/** Acts on the containers of a stack as its service rules say, until the stack is gone. */
export async function actAsHands(stack: string, say: (line: string) => void, stop: AbortSignal): Promise<void> {
  let seenAt = Date.now();
  const underWay = new Set<Promise<void>>();
  while (!stop.aborted && Date.now() - seenAt < GONE_AFTER_MS) {
    const s = composeStacks().find((c) => c.stack === stack);
    if (s !== undefined) {
      seenAt = Date.now();
      const done = (d: Deed): void => {
        const deed = act(s, d).then(
          () => say(`${d.name} ${d.service}${d.forMs > 0 ? ` ${d.forMs} ms` : ''}`),
          (e: unknown) => say(`${d.name} ${d.service}: ${e instanceof Error ? e.message : String(e)}`),
        );
        underWay.add(deed);
        void deed.finally(() => underWay.delete(deed));
      };
      // The orchestrator may be one of those who are killed: then again.
      await new Api(stack).lines('/faults/hands?follow=1', (row) => done(row as Deed), stop).catch(unlessOurs);
    }
    await sleep(500);
  }
  // What is paused or cut off is not left so.
  await Promise.all(underWay);
}

function unlessOurs(e: unknown): void {
  if (!(e instanceof CliError)) throw e;
}

async function act(s: ComposeStack, d: Deed): Promise<void> {
  const service = d.service === 'broker' ? 'nats' : d.service;
  const id = await dockerOk([
    'ps',
    '-q',
    '--no-trunc',
    ...['--filter', `label=com.docker.compose.project=${s.project}`],
    ...['--filter', `label=com.docker.compose.service=${service}`],
  ]);
  if (id === '') throw new CliError('its container does not run');
  if (d.name === 'kill') await kill(id);
  else if (d.name === 'restart') await dockerOk(['restart', '-t', '5', id]);
  else if (d.name === 'hang') {
    await pause(id);
    await sleep(d.forMs);
    await dockerOk(['unpause', id]);
  } else {
    const bus = `${s.project}_bus`;
    await dockerOk(['network', 'disconnect', bus, id]);
    await sleep(d.forMs);
    // By the name under which the others know it.
    await dockerOk(['network', 'connect', '--alias', service, bus, id]);
  }
}

/** runc gives up freezing the processes of a busy machine after a while. */
async function pause(id: string): Promise<void> {
  for (let left = PAUSE_TRIES; ; left--) {
    try {
      await dockerOk(['pause', id]);
      return;
    } catch (e) {
      if (left <= 1) throw e;
    }
  }
}

/**
 * As the kernel's out-of-memory killer would: the main process, from outside, so that the restart policy acts. What the engine
 * itself kills counts as stopped by hand and stays down; where its processes are not ours to see it has to start it again.
 */
async function kill(id: string): Promise<void> {
  const pid = Number(await dockerOk(['inspect', '-f', '{{.State.Pid}}', id]));
  if (isOf(pid, id)) {
    try {
      process.kill(pid, 'SIGKILL');
      return;
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'EPERM') throw e;
    }
  }
  await dockerOk(['kill', id]);
  await dockerOk(['start', id]);
}

/** With an engine in a virtual machine the number is of another machine. */
function isOf(pid: number, container: string): boolean {
  try {
    return pid > 1 && readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(container);
  } catch {
    return false;
  }
}
