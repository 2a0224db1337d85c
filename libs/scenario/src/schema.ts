import { z } from 'zod';

const line = z.string('a text is wanted').trim().min(1, 'it is empty');
const lines = z.union([line, z.array(line).min(1, 'it is empty')], 'a text, or a list of them');

/** The outer form of a scenario; what the texts say is read by text/. Steps (`at 2s: …`, `after 1MB: …`) stand beside these. */
export const scenarioSchema = z.strictObject({
  name: line,
  description: line.optional(),
  seed: z.int('a whole number is wanted').min(0).max(0xffff_ffff).optional(),
  target: z.enum(['sim', 'services'], 'sim or services').optional(),
  within: line.optional(),
  setup: z
    .strictObject({
      latency: line.optional(),
      rate: line.optional(),
      mtu: z.int('a whole number is wanted').min(68).max(65_535).optional(),
      offload: z.boolean('true or false').optional(),
      routes: z.record(z.string(), z.string('a next hop such as 10.77.0.1')).optional(),
      sysctl: z.record(z.string(), z.union([z.string(), z.number()], 'a number or a text')).optional(),
    })
    .optional(),
  workload: lines,
  steps: z.array(z.record(z.string(), lines), 'a list of steps: - at 2s: kill tcp').optional(),
  expect: lines,
});

export type ScenarioDocument = z.infer<typeof scenarioSchema>;
export const KEYS = Object.keys(scenarioSchema.shape);
