import { CommanderError } from 'commander';
import { CliError } from './errors.ts';
import { quietOnBrokenPipe, say } from './output.ts';
import { makeProgram } from './program.ts';

quietOnBrokenPipe();
try {
  await makeProgram().parseAsync(process.argv);
} catch (e) {
  if (e instanceof CommanderError) process.exitCode = e.exitCode === 0 ? 0 : 2;
  else if (e instanceof CliError) {
    if (e.message !== '') say(`skbus: ${e.message}`);
    process.exitCode = e.code;
  } else throw e;
}
