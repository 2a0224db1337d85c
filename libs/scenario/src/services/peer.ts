import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { PeerTask } from './peer-main.ts';

const PROGRAM = join(import.meta.dirname, 'peer-main.js');

/** The Linux kernel at the other end of the TAP, and the processes that were started there. */
export class Peer {
  private readonly netns: string;
  private readonly children = new Set<ChildProcess>();

  constructor(netns: string) {
    this.netns = netns;
  }

  /** A program there; each line of its output is told. Resolves with its exit code. */
  run(cmd: string, args: readonly string[], onLine: (line: string, from: 'out' | 'err') => void): Promise<number> {
    const argv = this.netns === '' ? [cmd, ...args] : ['ip', 'netns', 'exec', this.netns, cmd, ...args];
    const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };
    const child = spawn(argv[0]!, argv.slice(1), { stdio: ['pipe', 'pipe', 'pipe'], env });
    this.children.add(child);
    createInterface({ input: child.stdout }).on('line', (l) => onLine(l, 'out'));
    createInterface({ input: child.stderr }).on('line', (l) => onLine(l, 'err'));
    return new Promise((resolve, reject) => {
      child.once('error', (e) => reject(new Error(`${cmd}: ${e.message}`)));
      child.once('close', (code) => {
        this.children.delete(child);
        resolve(code ?? 1);
      });
    });
  }

  /** A task in a process of its own; rejects when that ends without having been told to say anything but errors. */
  async task(task: PeerTask, onRow: (row: unknown) => void): Promise<void> {
    let errors = '';
    const code = await this.run(process.execPath, [PROGRAM, JSON.stringify(task)], (line, from) => {
      if (from === 'out') onRow(JSON.parse(line));
      else errors += `${line}\n`;
    });
    if (code !== 0 && this.open) throw new Error(`the program on the peer ended with ${code}: ${errors.trim()}`);
  }

  /** The text that a command prints. */
  async text(cmd: string, ...args: string[]): Promise<string> {
    let text = '';
    let errors = '';
    const code = await this.run(cmd, args, (line, from) => {
      if (from === 'out') text += `${line}\n`;
      else errors += `${line}\n`;
    });
    if (code !== 0) throw new Error(`${cmd} on the peer ended with ${code}: ${errors.trim()}`);
    return text;
  }

  private open = true;

  close(): void {
    this.open = false;
    for (const c of this.children) c.kill('SIGTERM');
  }
}
