import { Demo } from './demo.ts';

process.title = 'skbus-demo';
const demo = new Demo({ log: (line) => process.stdout.write(`${line}\n`) });
demo.start();
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    demo.stop();
    process.exit(0);
  });
}
