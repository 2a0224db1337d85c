import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from '@jest/globals';
import { findScripts, makeTarget, parseScript, runFile, timestampsOf, type FileOptions } from '@skbus/packetdrill';
import { root } from '../support/projects.ts';

/**
 * Where scripts lie that are no part of the project: SKBUS_PACKETDRILL, else `shared/packetdrill/tcp` beside one of the
 * folders that the repository is in.
 */
export function givenScripts(): string | undefined {
  const named = process.env.SKBUS_PACKETDRILL;
  if (named !== undefined && named !== '') return named;
  for (let dir = dirname(root); ; dir = dirname(dir)) {
    const candidate = join(dir, 'shared/packetdrill/tcp');
    if (existsSync(candidate)) return candidate;
    if (dir === dirname(dir)) return undefined;
  }
}

/** `n` of the scripts, spread evenly; every one with SKBUS_PACKETDRILL_ALL=1. */
export function sample(files: readonly string[], n: number): readonly string[] {
  if (process.env.SKBUS_PACKETDRILL_ALL === '1' || files.length <= n) return files;
  return Array.from({ length: n }, (_, i) => files[Math.floor((i * files.length) / n)]!);
}

/** How every script is run, in virtual time. */
const VARIATIONS: Readonly<Record<string, (file: string) => FileOptions | undefined>> = {
  'as it is': () => ({}),
  'across 2^32': () => ({ wrap: true }),
  'with or without timestamps': (file) => {
    const timestamps = timestampsOf(parseScript(readFileSync(file, 'utf8'), file));
    return timestamps === undefined ? undefined : { timestamps };
  },
};

export const variations = Object.keys(VARIATIONS);

/**
 * One test for each script below `dir` that the variation applies to. `exceptions`: by the file's path below `dir`, what a
 * script needs otherwise, and why.
 */
export function testScripts(
  dir: string,
  variation: string,
  exceptions: Readonly<Record<string, FileOptions & { why: string }>> = {},
): void {
  const target = makeTarget('engine');
  for (const file of findScripts([dir])) {
    const name = relative(dir, file);
    const options = VARIATIONS[variation]!(file);
    if (options === undefined) continue;
    test(`${name} ${variation}`, async () => {
      const { why: _why, ...special } = exceptions[name] ?? { why: '' };
      const { error } = await runFile(file, await target, { strict: true, ...options, ...special });
      expect(error ?? '').toBe('');
    });
  }
}
