import {
  findScripts,
  makeTarget,
  runFile,
  targetNames,
  type FileOptions,
  type FileResult,
  type Target,
} from '@skbus/packetdrill';
import { CliError, UsageError } from '../errors.ts';
import { intOption } from '../options.ts';
import { paint, print, printJson, say } from '../output.ts';

export interface PacketdrillOptions {
  target: string;
  strict?: boolean;
  iss?: string;
  remoteIss?: string;
  wrap?: boolean;
  timestamps?: string;
  define: string[];
  json?: boolean;
}

const U32 = 0xffff_ffff;

/** Runs every script; exit status 1 if one failed. */
export async function packetdrill(paths: readonly string[], o: PacketdrillOptions): Promise<void> {
  const options = runOptions(o);
  const files = asked(() => findScripts(paths));
  if (files.length === 0) throw new UsageError('no scripts (*.pkt) there');
  const target = await targetOf(o.target);
  const results: FileResult[] = [];
  try {
    for (const file of files) {
      const result = await runFile(file, target, {
        ...options,
        strict: o.strict === true,
        note: (text) => void (o.json !== true && say(text)),
      });
      results.push(result);
      if (o.json !== true) show(result);
    }
  } finally {
    await target.dispose?.();
  }
  const failed = results.filter((r) => !r.passed).length;
  if (o.json === true)
    printJson({ results: results.map(({ file, passed, error, ms }) => ({ file, passed, error: error ?? null, ms })) });
  else say(`${results.length - failed} passed, ${failed} failed`);
  if (failed > 0) throw new CliError('');
}

function runOptions(o: PacketdrillOptions): FileOptions {
  const defines = new Map<string, string>();
  for (const word of o.define) {
    const m = /^(\w+)=([\s\S]*)$/.exec(word);
    if (m === null) throw new UsageError(`--define ${word}: expected NAME=value`);
    defines.set(m[1]!, m[2]!);
  }
  const { timestamps } = o;
  if (timestamps !== undefined && timestamps !== 'on' && timestamps !== 'off')
    throw new UsageError(`--timestamps ${timestamps}: expected on or off`);
  if (o.wrap === true && o.target !== 'engine') throw new UsageError('--wrap needs --target engine');
  if (o.iss !== undefined && o.target !== 'engine') throw new UsageError('--iss needs --target engine');
  return {
    defines,
    ...(o.wrap === true ? { wrap: true } : {}),
    ...(timestamps === undefined ? {} : { timestamps }),
    ...(o.iss === undefined ? {} : { iss: intOption('--iss', o.iss, 0, U32) }),
    ...(o.remoteIss === undefined ? {} : { remoteShift: intOption('--remote-iss', o.remoteIss, 0, U32) }),
  };
}

/** Errors that the caller made. */
function asked<T>(fn: () => T): T {
  try {
    return fn();
  } catch (e) {
    throw new UsageError(e instanceof Error ? e.message : String(e));
  }
}

async function targetOf(name: string): Promise<Target> {
  if (!targetNames().includes(name))
    throw new UsageError(`--target ${name}: expected one of ${targetNames().join(', ')}`);
  try {
    return await makeTarget(name);
  } catch (e) {
    throw new CliError(e instanceof Error ? e.message : String(e));
  }
}

function show({ file, passed, error, ms }: FileResult): void {
  print(`${passed ? paint('green', 'ok  ') : paint('red', 'FAIL')} ${file} (${ms} ms)`);
  if (error !== undefined) print(`     ${error.replaceAll('\n', '\n     ')}`);
}
