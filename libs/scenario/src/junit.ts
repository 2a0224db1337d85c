import junit, { type Builder } from 'junit-report-builder';
import type { ScenarioResult } from './run.ts';

/** One suite per scenario, one case per expectation. */
export function junitOf(results: readonly ScenarioResult[], target: string): string {
  // It is a CommonJS module that exports the builder itself; its types speak of a default export.
  const report = (junit as unknown as Builder).newBuilder();
  for (const r of results) {
    const { name, file, line } = r.plan;
    const suite = report
      .testSuite()
      .name(name)
      .time(r.tookMs / 1000)
      .property('target', target)
      .property('seed', String(r.plan.seed))
      .property('file', `${file}:${line}`);
    const className = `${file}.${name}`;
    if (r.skipped !== undefined) suite.testCase().className(className).name(name).skipped().standardOutput(r.skipped);
    if (r.broken !== undefined) suite.testCase().className(className).name('runs to its end').error(r.broken);
    for (const v of r.verdicts) {
      const one = suite.testCase().className(className).name(v.expected).file(file);
      if (!v.passed) one.failure(`expected ${v.expected}, got ${v.actual}`);
      one.standardOutput(v.actual);
    }
  }
  return report.build();
}
