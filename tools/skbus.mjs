#!/usr/bin/env node
// The CLI from the build.
import { existsSync } from 'node:fs';

const main = new URL('../apps/cli/dist/main.js', import.meta.url);
if (!existsSync(main)) {
  process.stderr.write('skbus: not built yet; run "npm start", or "npm run build" for the build alone\n');
  process.exit(1);
}
await import(main.href);
