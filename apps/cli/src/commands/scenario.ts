import { readFileSync, writeFileSync } from 'node:fs';
import {
  junitOf,
  passed,
  readScenarios,
  runScenario,
  servicesRunner,
  type Plan,
  type ScenarioResult,
  type ServicesRunner,
  type Target,
} from '@skbus/scenario';
import { Api } from '../api-client.ts';
import { CliError, UsageError } from '../errors.ts';
import { intOption } from '../options.ts';
import { paint, print, printJson, say } from '../output.ts';

export interface ScenarioOptions {
  stack?: string;
  json?: boolean;
  target: string;
  junit?: string;
  seed?: string;
  only?: string;
}

/** Runs every scenario of the files; exit status 1 if an expectation was not met. */
export async function run(files: readonly string[], o: ScenarioOptions): Promise<void> {
  const target = targetOf(o.target);
  const plans = chosen(read(files), o);
  const services = target === 'services' ? servicesOf(o.stack) : undefined;
  const results: ScenarioResult[] = [];
  for (const plan of plans) {
    if (o.json !== true) print(paint('bold', `${plan.name}  (${target}, seed ${plan.seed})`));
    const result = await runScenario(plan, target, {
      nowMs: () => performance.now(),
      ...(o.json === true ? {} : { tell }),
      ...(services === undefined ? {} : { services }),
    });
    results.push(result);
    if (o.json !== true) show(result);
  }
  if (o.junit !== undefined) write(o.junit, junitOf(results, target));
  if (o.json === true) printJson({ target, results: results.map(summaryOf) });
  finish(results);
}

/** Reads them and says what is wrong, or which there are. */
export function check(files: readonly string[], o: { json?: boolean }): void {
  const plans = read(files);
  if (o.json === true) return printJson(plans);
  for (const p of plans) print(`${p.file}:${p.line}: ${p.name}`);
}

function finish(results: readonly ScenarioResult[]): void {
  const skipped = results.filter((r) => r.skipped !== undefined).length;
  const failed = results.filter((r) => r.skipped === undefined && !passed(r)).length;
  const rest = skipped === 0 ? '' : `, ${skipped} skipped`;
  say(`${results.length - failed - skipped} passed, ${failed} failed${rest}`);
  if (failed > 0) throw new CliError('');
  if (skipped === results.length) throw new CliError('nothing was run', 2);
}

function read(files: readonly string[]): Plan[] {
  const found = files.map((f) => readScenarios(textOf(f), f));
  const problems = found.flatMap((f) => f.problems);
  if (problems.length > 0) throw new UsageError(problems.map((p) => p.message).join('\n       '));
  return found.flatMap((f) => f.plans);
}

function chosen(plans: readonly Plan[], o: ScenarioOptions): Plan[] {
  const { only } = o;
  const some = only === undefined ? plans : plans.filter((p) => p.name.toLowerCase().includes(only.toLowerCase()));
  if (some.length === 0) throw new UsageError(`--only ${only}: no scenario has that in its name`);
  const seed = o.seed === undefined ? undefined : intOption('--seed', o.seed, 0, 0xffff_ffff);
  return some.map((p) => (seed === undefined ? p : { ...p, seed }));
}

function servicesOf(stack: string | undefined): ServicesRunner {
  const api = new Api(stack);
  return servicesRunner({
    get: (path) => api.get(path),
    send: (method, path, body) => api.send(method, path, body),
  });
}

function targetOf(name: string): Target {
  if (name === 'sim' || name === 'services') return name;
  throw new UsageError(`--target ${name}: expected sim or services`);
}

const tell = (atMs: number, what: string): void => print(`  ${(atMs / 1000).toFixed(3).padStart(9)}  ${what}`);

function show(r: ScenarioResult): void {
  if (r.skipped !== undefined) return print(`  ${paint('yellow', 'skipped')}  ${r.skipped}`);
  if (r.broken !== undefined) print(`  ${paint('red', 'FAILED')}  ${r.broken}`);
  for (const v of r.verdicts)
    print(`  ${v.passed ? paint('green', '    ok') : paint('red', 'FAILED')}  ${v.expected}: ${v.actual}`);
}

const summaryOf = (r: ScenarioResult): Record<string, unknown> => ({
  name: r.plan.name,
  file: r.plan.file,
  line: r.plan.line,
  seed: r.plan.seed,
  passed: passed(r),
  ...(r.skipped === undefined ? {} : { skipped: r.skipped }),
  ...(r.broken === undefined ? {} : { broken: r.broken }),
  verdicts: r.verdicts,
  tookMs: Math.round(r.tookMs),
});

function textOf(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (e) {
    throw new UsageError(`cannot read ${file}: ${e instanceof Error ? e.message : String(e)}`);
  }
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (e) {
    throw new CliError(`cannot write ${file}: ${e instanceof Error ? e.message : String(e)}`);
  }
}
