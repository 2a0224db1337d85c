import { RunFolder } from './run-folder.ts';
import { sweep } from './sweeper.ts';

// `node sweep.js RUN_DIR…`: the clean-up of `skbus down` after an orchestrator that is gone. No Nest here.
let failed = false;
for (const dir of process.argv.slice(2)) {
  const run = new RunFolder(dir);
  const found = run.read();
  if (found?.running) {
    process.stderr.write(`skbus: the orchestrator of ${dir} is running (pid ${found.file.orchestrator.pid})\n`);
    failed = true;
  } else if (found) {
    for (const what of await sweep(run, found.file)) process.stdout.write(`${what}\n`);
  } else run.unlock();
}
process.exitCode = failed ? 1 : 0;
