// usage: node tools/newproject.mjs libs/foo engine|lib|app dep,dep...   (scaffolding, run by hand)
import { mkdirSync, writeFileSync, existsSync } from 'node:fs';
const [, , dir, kind, deps = ''] = process.argv;
const name = dir.split('/').pop();
const list = deps.split(',').filter(Boolean);
mkdirSync(`${dir}/src`, { recursive: true });
const pkg = {
  name: dir.startsWith('apps/') ? `@skbus/app-${name}` : `@skbus/${name}`,
  version: '0.1.0',
  private: true,
  license: 'Apache-2.0',
  type: 'module',
  exports: { '.': { '@skbus/source': './src/index.ts', types: './dist/index.d.ts', default: './dist/index.js' } },
  dependencies: Object.fromEntries(list.map((d) => [`@skbus/${d}`, '0.1.0'])),
  nx: { tags: [kind], targets: { build: {}, test: {} } },
};
writeFileSync(`${dir}/package.json`, JSON.stringify(pkg, null, 2) + '\n');
const ts = {
  extends: kind === 'engine' ? '../../tsconfig.engine.json' : '../../tsconfig.base.json',
  compilerOptions: { rootDir: 'src', outDir: 'dist', tsBuildInfoFile: 'dist/.tsbuildinfo' },
  include: ['src'],
  exclude: ['**/*.spec.ts', '**/testing/**'],
  references: list.map((d) => ({ path: `../../libs/${d}` })),
};
writeFileSync(`${dir}/tsconfig.json`, JSON.stringify(ts, null, 2) + '\n');
if (!existsSync(`${dir}/src/index.ts`)) writeFileSync(`${dir}/src/index.ts`, '');
