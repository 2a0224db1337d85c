import { ip, netnsExists, removeLink, removeNetns } from './iproute2.ts';
import { cmdlineOfPid, isAlive, markOf, stopAll } from './process-mark.ts';
import type { RunFolder, StackFile } from './run-folder.ts';

/** What the processes of a stack look like; anything else is none of our business, whatever its id. */
const OURS = /skbus|nats-server|dist\/main\.js/;

/** Removes what an orchestrator that was killed has left. Returns what was found, in words. */
export async function sweep(run: RunFolder, file: StackFile): Promise<string[]> {
  const found: string[] = [];
  const left = Object.entries(file.processes).filter(([, m]) => isAlive(m) && OURS.test(cmdlineOfPid(m.pid)));
  // The broker last: the services say goodbye through it.
  for (const broker of [false, true]) {
    const group = left.filter(([name]) => (name === 'nats') === broker);
    await stopAll(
      group.map(([, m]) => m),
      2_000,
    );
    for (const [name, m] of group) found.push(`process ${name} (pid ${m.pid})`);
  }
  if (file.kernelIfname !== '' && (await linkExists(file.peerNetns, file.kernelIfname))) {
    await removeLink(file.peerNetns, file.kernelIfname);
    found.push(`device ${file.kernelIfname}`);
  }
  if (file.madeNetns && netnsExists(file.peerNetns)) {
    await removeNetns(file.peerNetns, (pids) =>
      stopAll(
        pids.map(markOf).filter((m) => m !== undefined),
        500,
      ),
    );
    found.push(`network namespace ${file.peerNetns}`);
  }
  run.unlock();
  return found;
}

async function linkExists(netns: string, name: string): Promise<boolean> {
  if (netns !== '' && !netnsExists(netns)) return false;
  const args = [...(netns === '' ? [] : ['-n', netns]), 'link', 'show', 'dev', name];
  return ip(...args).then(
    () => true,
    () => false,
  );
}
