import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Api } from '../api-client.ts';
import { print, printJson } from '../output.ts';
import { findAnywhere } from '../stacks.ts';

interface Options {
  stack?: string;
  json?: boolean;
  ignore?: boolean;
  zeros?: boolean;
  noupdate?: boolean;
  reset?: boolean;
}

/** As nstat(8): increments since the last call, which a file of the run folder remembers. */
export async function nstat(patterns: readonly string[], o: Options): Promise<void> {
  const now = await new Api(o.stack).get<Record<string, number>>('/nstat');
  const history =
    process.env.NSTAT_HISTORY || (process.env.SKBUS_API ? undefined : join(findAnywhere(o.stack).runDir, 'nstat.json'));
  if (o.reset && history) rmSync(history, { force: true });
  const before = o.ignore || !history ? {} : recall(history);
  const rows: Record<string, number> = {};
  for (const [name, value] of Object.entries(now)) {
    // A counter below what it was: its service is a new one.
    const last = before[name] ?? 0;
    const n = value >= last ? value - last : value;
    if ((n !== 0 || o.zeros) && matches(name, patterns)) rows[name] = n;
  }
  if (history && !o.noupdate) {
    mkdirSync(dirname(history), { recursive: true, mode: 0o700 });
    writeFileSync(history, JSON.stringify(now), { mode: 0o600 });
  }
  if (o.json) {
    printJson({ kernel: rows });
    return;
  }
  print('#kernel');
  for (const [name, n] of Object.entries(rows)) print(`${name.padEnd(32)}${String(n).padEnd(16)}   0.0`);
}

function recall(file: string): Record<string, number> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>;
  } catch {
    return {};
  }
}

function matches(name: string, patterns: readonly string[]): boolean {
  if (patterns.length === 0) return true;
  return patterns.some((p) => {
    const body = p
      .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
    return new RegExp(`^${body}$`, 'i').test(name);
  });
}
