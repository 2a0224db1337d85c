import { Cleanup } from './children.mjs';

/** The command line makes no sense: exit status 2, and how it should be. */
export class UsageError extends Error {}

/**
 * A benchmark from its command line to its exit status; what it made on the machine is undone however it ends.
 * @template {{ help?: boolean | undefined }} O
 * @param {{ usage: string, options: () => O, main: (opts: O, cleanup: Cleanup) => Promise<void> }} program
 */
export async function runProgram({ usage, options, main }) {
  const cleanup = new Cleanup();
  for (const [signal, code] of /** @type {const} */ ([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])) {
    process.on(signal, () => void cleanup.run().then(() => process.exit(code)));
  }
  try {
    const opts = options();
    if (opts.help) process.stdout.write(usage);
    else await main(opts, cleanup);
  } catch (e) {
    const wrong = e instanceof UsageError;
    process.stderr.write(`bench: ${e instanceof Error ? e.message : String(e)}\n${wrong ? `\n${usage}` : ''}`);
    process.exitCode = wrong ? 2 : 1;
  } finally {
    await cleanup.run();
  }
}
