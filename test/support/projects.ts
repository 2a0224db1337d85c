import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Project {
  /** `libs/tcp` */
  dir: string;
  name: string;
  tag: 'engine' | 'lib' | 'sim' | 'app';
  deps: string[];
  sources: string[];
}

const SKIP = new Set(['node_modules', 'dist', 'gen', '.git', '.nx', '.run', 'coverage']);

/** Files below a folder, as paths relative to the repository. */
export function filesBelow(dir: string, wanted: RegExp): string[] {
  const out: string[] = [];
  for (const name of readdirSync(join(root, dir))) {
    if (SKIP.has(name)) continue;
    const path = join(root, dir, name);
    if (statSync(path).isDirectory()) out.push(...filesBelow(relative(root, path), wanted));
    else if (wanted.test(name)) out.push(relative(root, path));
  }
  return out;
}

export function projects(): Project[] {
  return ['libs', 'apps'].flatMap((top) =>
    readdirSync(join(root, top)).map((name) => {
      const dir = `${top}/${name}`;
      const pkg = JSON.parse(readFileSync(join(root, dir, 'package.json'), 'utf8')) as {
        name: string;
        dependencies?: Record<string, string>;
        nx: { tags: Project['tag'][] };
      };
      return {
        dir,
        name: pkg.name,
        tag: pkg.nx.tags[0]!,
        deps: Object.keys(pkg.dependencies ?? {}),
        sources: filesBelow(`${dir}/src`, /\.tsx?$/),
      };
    }),
  );
}

/** Module specifiers of static imports, exports and literal dynamic imports. */
export function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = new Set<string>();
  for (const m of text.matchAll(/(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s*['"]([^'"]+)['"]/g)) found.add(m[1]!);
  for (const m of text.matchAll(/(?:^|\n)\s*import\s*['"]([^'"]+)['"]/g)) found.add(m[1]!);
  for (const m of text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)) found.add(m[1]!);
  return [...found];
}
