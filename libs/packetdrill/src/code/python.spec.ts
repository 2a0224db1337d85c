import { expect, test } from '@jest/globals';
import { runPython } from './python.ts';

const TCP: Record<string, number> = { tcpi_snd_cwnd: 10, tcpi_options: 7, TCPI_OPT_SACK: 2, tcpi_rtt: 100_000 };

function run(text: string): string[] {
  const printed: string[] = [];
  runPython(text, { outer: (n) => TCP[n], variables: new Map(), print: (l) => printed.push(l) });
  return printed;
}

test.each([
  'assert tcpi_snd_cwnd == 10',
  'assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd',
  "assert (tcpi_options & TCPI_OPT_SACK) != 0, 'no %d' % tcpi_options",
  'assert 5 < tcpi_snd_cwnd <= 10 and not tcpi_snd_cwnd in [1, 2]',
  'assert tcpi_snd_cwnd in (9, 10,) or False',
  'assert abs(tcpi_rtt - 100000) < 0.1 * tcpi_rtt\nassert 7 // 2 == 3 and -7 % 3 == 2 and 2 ** 10 == 1 << 10',
  'x = 5\nx += 1 * 2\nassert x == 7 # seven\n\nassert max(1, x) == 7 and len("abc") == 3',
  'assert (1 +\n  2) == 3',
  'if tcpi_snd_cwnd > 5:\n  y = 1\n  z = 2\nelif True:\n  assert False\nelse: assert False\nassert y + z == 3',
  'assert 1 == 1, 2;\\\n   assert 2 == 2;\\\n',
  'if False: assert False\nassert 1 if True else 0',
])('%s', (text) => {
  expect(run(text)).toEqual([]);
});

test('print', () => {
  expect(run('print(tcpi_snd_cwnd, "a")\nprint("%s %x" % (True, 255)); print(f"{tcpi_rtt}")')).toEqual([
    '10 a',
    'True ff',
    '100000',
  ]);
});

test.each([
  ['assert 1 == 1\nassert tcpi_snd_cwnd == 11, tcpi_snd_cwnd', 1, 'assert tcpi_snd_cwnd == 11 , tcpi_snd_cwnd: 10'],
  ['assert tcpi_nonsense == 1', 0, "the name 'tcpi_nonsense' is not known"],
  ['x = open("a")', 0, 'the function open() is not known'],
  ['assert 1 +', 0, 'expected a value'],
  ['a = "x" - 1', 0, 'expected a number, found x'],
  ['a = 1 / 0', 0, 'division by zero'],
  ['while True', 0, "the name 'while' is not known"],
  ['a = 1\n  b = 2', 1, 'unexpected indentation'],
])('%s fails', (text, line, message) => {
  let error: unknown;
  try {
    run(text);
  } catch (e) {
    error = e;
  }
  expect(error).toMatchObject({ line, message: expect.stringContaining(message) });
});
