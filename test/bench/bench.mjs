#!/usr/bin/env node
// npm run bench [-- tcp | path]: what is measured is in compare.mjs and path.mjs.
await import(process.argv[2] === 'path' ? './path.mjs' : './compare.mjs');
