import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseScript } from './lang/parser.ts';
import { runScript, type RunOptions } from './run/runner.ts';
import type { Target } from './target.ts';
import { wrapOf } from './variation.ts';

export interface FileOptions extends RunOptions {
  /** Both sides' sequence numbers cross 2^32 with their first data. */
  wrap?: boolean;
  defines?: ReadonlyMap<string, string>;
}

export interface FileResult {
  file: string;
  passed: boolean;
  error: string | undefined;
  ms: number;
}

/** Every script below the given files and folders, in order. Throws a sentence if one of them is not there. */
export function findScripts(paths: readonly string[]): string[] {
  return paths.flatMap((p) => {
    const stat = statSync(p, { throwIfNoEntry: false });
    if (stat === undefined) throw new Error(`${p}: no such file or directory`);
    return stat.isDirectory() ? scriptsBelow(p) : [p];
  });
}

function scriptsBelow(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((e) => {
      const path = join(dir, e.name);
      if (e.isDirectory()) return scriptsBelow(path);
      return e.name.endsWith('.pkt') ? [path] : [];
    });
}

/** Runs one script; never throws. */
export async function runFile(file: string, target: Target, opts: FileOptions = {}): Promise<FileResult> {
  const from = performance.now();
  const result = (error: string | undefined): FileResult => ({
    file,
    passed: error === undefined,
    error,
    ms: Math.round((performance.now() - from) * 10) / 10,
  });
  try {
    const script = parseScript(readFileSync(file, 'utf8'), file, opts.defines);
    await runScript(script, target, opts.wrap === true ? { ...opts, ...wrapOf(script) } : opts);
    return result(undefined);
  } catch (e) {
    if (!(e instanceof Error)) throw e;
    return result(e.name === 'ScriptError' ? e.message : `${file}: ${e.stack ?? e.message}`);
  }
}
