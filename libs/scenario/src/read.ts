import { parseMillis } from '@skbus/fault';
import { parseCidr, parseIpv4 } from '@skbus/skb';
import { LineCounter, parseAllDocuments, type Document } from 'yaml';
import { DocumentMap, ScenarioProblem, type Path } from './document-map.ts';
import { yamlBlocks } from './markdown.ts';
import type { Expectation, Plan, Setup, Step, Workload } from './plan.ts';
import { KEYS, scenarioSchema, type ScenarioDocument } from './schema.ts';
import { parseExpectation, splitExpectations } from './text/expect.ts';
import { TextFailure } from './text/failure.ts';
import { parseStep, parseWhen } from './text/step.ts';
import { parseRate } from './text/words.ts';
import { parseWorkload } from './text/workload.ts';

/** Longer than TCP keeps trying. */
const WITHIN_MS = 120_000;
const IS_STEP = /^(?:at|after)\b/;

export interface ReadScenarios {
  plans: Plan[];
  problems: ScenarioProblem[];
}

/** All scenarios of a file: documents of YAML, or the blocks of a Markdown page that are marked as scenarios. */
export function readScenarios(text: string, file: string): ReadScenarios {
  const found: ReadScenarios = { plans: [], problems: [] };
  const blocks = /\.(?:md|markdown)$/i.test(file) ? yamlBlocks(text) : [{ text, line: 0 }];
  for (const block of blocks) {
    const counter = new LineCounter();
    const docs = parseAllDocuments(block.text, { lineCounter: counter, prettyErrors: false });
    for (const doc of docs as Document.Parsed[]) {
      const map = new DocumentMap(doc, counter, file, block);
      if (map.isEmpty) continue;
      const plan = readDocument(map, found.problems);
      if (plan !== undefined) found.plans.push(plan);
    }
  }
  if (found.plans.length + found.problems.length === 0)
    found.problems.push(new ScenarioProblem(file, 1, 1, '', 'there is no scenario in it'));
  return found;
}

function readDocument(map: DocumentMap, problems: ScenarioProblem[]): Plan | undefined {
  const before = problems.length;
  problems.push(...map.syntaxProblems());
  if (problems.length > before) return undefined;
  const { fields, steps } = map.split(IS_STEP);
  const { data, error } = scenarioSchema.safeParse(fields);
  for (const issue of error?.issues ?? []) problems.push(...issueProblems(map, issue));
  const reader = new PlanReader(map, problems);
  // what is wrong in a text is said, too, when something else is wrong
  const texts = { beside: steps.flatMap((key) => reader.stepsAt([key], key)), ...reader.texts() };
  if (data === undefined) return undefined;
  const plan = reader.plan(data, texts);
  return problems.length > before ? undefined : plan;
}

interface Issue {
  code?: string;
  path: readonly PropertyKey[];
  message: string;
  keys?: readonly string[];
}

function issueProblems(map: DocumentMap, issue: Issue): ScenarioProblem[] {
  const path = issue.path as Path;
  if (issue.code === 'unrecognized_keys')
    return (issue.keys ?? []).map((k) => {
      const known = path.length === 0 ? `: ${KEYS.join(', ')}, at TIME, after SIZE` : '';
      return map.problem([...path, k], `there is no field "${k}"${known}`, { key: true });
    });
  const missing = issue.path.length > 0 && !map.has(path);
  return [
    map.problem(path, missing ? `it is missing${path[0] === 'expect' ? ': what is expected?' : ''}` : issue.message),
  ];
}

/** The texts inside a document whose form is right. */
class PlanReader {
  private readonly map: DocumentMap;
  private readonly problems: ScenarioProblem[];

  constructor(map: DocumentMap, problems: ScenarioProblem[]) {
    this.map = map;
    this.problems = problems;
  }

  texts(): { workloads: Workload[]; expect: Expectation[] } {
    const texts = (key: 'workload' | 'expect'): Located[] => (this.map.has([key]) ? this.located([key]) : []);
    return {
      workloads: texts('workload').flatMap(({ text, path }) => this.read(path, () => parseWorkload(text)) ?? []),
      expect: texts('expect').flatMap(({ text, path }) => this.expectations(text, path)),
    };
  }

  plan(d: ScenarioDocument, texts: { workloads: Workload[]; expect: Expectation[]; beside: Step[] }): Plan {
    const { workloads, expect, beside } = texts;
    const listed = (d.steps ?? []).flatMap((step, i) =>
      Object.keys(step).flatMap((key) => this.stepsAt(['steps', i, key], key)),
    );
    return {
      name: d.name,
      file: this.map.file,
      line: this.map.firstLine,
      seed: d.seed ?? 1,
      needs: d.target,
      setup: this.setup(d.setup ?? {}),
      workloads,
      steps: [...beside, ...listed],
      expect,
      withinMs: this.number(d.within, ['within'], parseMillis, 'no time: write 30s') ?? WITHIN_MS,
    };
  }

  stepsAt(path: Path, key: string): Step[] {
    if (!IS_STEP.test(key)) {
      this.problems.push(this.map.problem(path, `"${key}" is no time of a step: at 2s, after 1MB`, { key: true }));
      return [];
    }
    const when = this.read(path, () => parseWhen(key), true);
    return this.located(path).flatMap(({ text, path: at }) => {
      const step = this.read(at, () => parseStep(text));
      return step === undefined || when === undefined ? [] : [{ when, text: `${key}: ${text}`, ...step }];
    });
  }

  private expectations(text: string, path: Path): Expectation[] {
    return splitExpectations(text).flatMap(
      (w) => this.read(path, () => parseExpectation(w.text), false, w.column) ?? [],
    );
  }

  private setup(s: NonNullable<ScenarioDocument['setup']>): Setup {
    return {
      latencyMs: this.number(s.latency, ['setup', 'latency'], parseMillis, 'no time: write 10ms'),
      bitsPerSecond: this.number(s.rate, ['setup', 'rate'], parseRate, 'no rate: write 10mbit'),
      mtu: s.mtu,
      offload: s.offload ?? false,
      routes: this.routes(s.routes ?? {}),
      sysctl: Object.fromEntries(Object.entries(s.sysctl ?? {}).map(([k, v]) => [k, String(v)])),
    };
  }

  private routes(all: Record<string, string>): Record<string, string> {
    for (const [prefix, via] of Object.entries(all)) {
      const path = ['setup', 'routes', prefix];
      if (prefix !== 'default' && parseCidr(prefix) === undefined)
        this.problems.push(this.map.problem(path, `"${prefix}" is no prefix such as 10.1.0.0/16`, { key: true }));
      if (parseIpv4(via) === undefined) this.problems.push(this.map.problem(path, `"${via}" is no IPv4 address`));
    }
    return all;
  }

  private number<T>(
    text: string | undefined,
    path: Path,
    parse: (t: string) => T | undefined,
    no: string,
  ): T | undefined {
    if (text === undefined) return undefined;
    const value = parse(text);
    if (value === undefined) this.problems.push(this.map.problem(path, `"${text}" is ${no}`));
    return value;
  }

  /** One text or several, with where each stands. */
  private located(path: Path): Located[] {
    const value = this.map.get(path);
    const all = Array.isArray(value) ? value.map((v, i) => [v, [...path, i]] as const) : [[value, path] as const];
    return all.flatMap(([v, p]) => {
      if (typeof v === 'string') return [{ text: v.trim(), path: p }];
      this.problems.push(this.map.problem(p, 'a text is wanted'));
      return [];
    });
  }

  private read<T>(path: Path, parse: () => T, key = false, column = 0): T | undefined {
    try {
      return parse();
    } catch (e) {
      if (!(e instanceof TextFailure)) throw e;
      this.problems.push(this.map.problem(path, e.message, { key, offset: column + e.column }));
      return undefined;
    }
  }
}

interface Located {
  text: string;
  path: Path;
}
