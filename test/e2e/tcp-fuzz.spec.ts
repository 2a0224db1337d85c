import { afterAll, describe, expect, test } from '@jest/globals';
import { differential, LinuxTarget, makeTarget, showSide, whyNoLinux } from '@skbus/packetdrill';

// A bounded sample of `npm run fuzz:tcp`: what the engines and the kernel agree on stays agreed. The kernel's timers are real, so nothing runs beside it.

const [FROM, COUNT] = [1, 12];
const why = whyNoLinux();
const suite = why === undefined ? describe : describe.skip;

suite(`engines and Linux side by side (${why ?? 'in a namespace'})`, () => {
  const linux = new LinuxTarget();
  afterAll(() => linux.dispose());

  test(`scenarios ${FROM} to ${FROM + COUNT - 1}`, async () => {
    const seeds = Array.from({ length: COUNT }, (_, i) => FROM + i);
    const { findings, compared } = await differential(linux, await makeTarget('engine'), seeds);
    const shown = findings.map(({ seed, difference: d, script }) => ({
      seed,
      expected: showSide(d.expected),
      actual: showSide(d.actual),
      script,
    }));
    expect(shown).toEqual([]);
    expect(compared).toBeGreaterThan(COUNT / 2);
  }, 120_000);
});
