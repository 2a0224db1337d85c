#!/usr/bin/env node
// Puts a service's modules into one file, in place of its main.js: most of a start is finding and reading a thousand files,
// and a container that was killed is away for as long. For images only; where a spare process waits nobody waits for a start.
//   node --experimental-import-meta-resolve tools/bundle.mjs apps/tcp/dist/main.js …
import { transformSync } from '@swc/core';
import { readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import { dirname, extname, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Loads a file of machine code that it looks for beside itself. */
const EXTERNAL = new Set(['koffi']);

/** Runs in the bundle: Node's require() over the modules in it, which each have the name that the file had. */
const PRELUDE = `import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
const cache = new Map();
function load(name) {
  let module = cache.get(name);
  if (module !== undefined) return module.exports;
  const [known, run, esm] = modules[name];
  const file = join(import.meta.dirname, name);
  let real;
  const require = (id) => (Object.hasOwn(known, id) ? seen(esm, known[id]) : outer(esm, (real ??= createRequire(file))(id)));
  require.resolve = (id) => (real ??= createRequire(file)).resolve(id);
  module = { exports: {}, id: file, filename: file, children: [], paths: [] };
  cache.set(name, module);
  const done = run.call(module.exports, module.exports, require, module, file, dirname(file));
  return done ?? module.exports;
}
// What an ES module sees of a CommonJS one: its exports as the default one, and by name.
const views = new Map();
const seen = (byEsm, name) => {
  const exports = load(name);
  return byEsm && !modules[name][2] ? outer(true, exports) : exports;
};
function outer(byEsm, exports) {
  if (!byEsm) return exports;
  let view = views.get(exports);
  if (view === undefined) {
    view = Object.defineProperty({ default: exports }, '__esModule', { value: true });
    for (const k of Object.keys(exports)) {
      if (k !== 'default') Object.defineProperty(view, k, { enumerable: true, get: () => exports[k] });
    }
    views.set(exports, view);
  }
  return view;
}
`;

for (const main of process.argv.slice(2)) {
  const entry = realpathSync(resolve(main));
  writeFileSync(entry, bundle(entry));
  rmSync(`${entry}.map`, { force: true });
  process.stderr.write(`bundle: ${main}\n`);
}

function bundle(/** @type {string} */ entry) {
  const modules = new Map([[entry, '']]);
  // Grows while it is walked.
  for (const file of modules.keys()) {
    const { code, needs, esm } = load(file);
    const known = {};
    for (const [specifier, path] of needs) {
      known[specifier] = relative(dirname(entry), path);
      if (!modules.has(path)) modules.set(path, '');
    }
    const head = file === entry ? 'async function' : 'function';
    modules.set(
      file,
      `[${JSON.stringify(known)}, ${head} (exports, require, module, __filename, __dirname) {${code}\n}, ${esm}]`,
    );
  }
  const table = [...modules].map(([file, text]) => `${JSON.stringify(relative(dirname(entry), file))}: ${text}`);
  return `${PRELUDE}const modules = {\n${table.join(',\n')}\n};\nawait load(${JSON.stringify(relative(dirname(entry), entry))});\n`;
}

/** Its text as CommonJS, and the files that it names. */
function load(/** @type {string} */ file) {
  const text = readFileSync(file, 'utf8');
  if (extname(file) === '.json') return { code: `module.exports = ${text}`, needs: new Map(), esm: false };
  const esm = isModule(file);
  const code = esm ? toCommonJs(text) : text;
  const needs = new Map();
  for (const [, specifier] of code.matchAll(/\brequire\(\s*["']([^"'\n]+)["']\s*\)/g)) {
    if (isBuiltin(specifier) || EXTERNAL.has(specifier)) continue;
    const path = find(specifier, file, esm);
    if (path !== undefined) needs.set(specifier, path);
  }
  return { code: code.replace(/^\/\/# sourceMappingURL=.*$/m, '').replace(/^#!.*/, ''), needs, esm };
}

function toCommonJs(/** @type {string} */ text) {
  return transformSync(text, {
    swcrc: false,
    configFile: false,
    isModule: true,
    sourceMaps: false,
    jsc: { target: 'es2022', parser: { syntax: 'ecmascript' } },
    module: { type: 'commonjs', importInterop: 'swc', strictMode: true },
  }).code;
}

function isModule(/** @type {string} */ file) {
  if (file.endsWith('.mjs')) return true;
  if (file.endsWith('.cjs')) return false;
  for (let dir = dirname(file); ; dir = dirname(dir)) {
    try {
      return JSON.parse(readFileSync(`${dir}/package.json`, 'utf8')).type === 'module';
    } catch {
      if (dir === dirname(dir)) return false;
    }
  }
}

/** Where Node would find it; what is not installed is looked for, and not found, when it is wanted. */
function find(/** @type {string} */ specifier, /** @type {string} */ from, /** @type {boolean} */ esm) {
  try {
    const path = esm
      ? fileURLToPath(import.meta.resolve(specifier, pathToFileURL(from).href))
      : createRequire(from).resolve(specifier);
    const real = realpathSync(path);
    return ['.js', '.cjs', '.mjs', '.json'].includes(extname(real)) ? real : undefined;
  } catch {
    return undefined;
  }
}
