// A loader hook that changes places of one file as it is loaded: an engine that is broken on purpose.

/** @type {{ file: string, edits: [find: string, put: string][] }} */
let mutant;

/** @param {typeof mutant} data */
export function initialize(data) {
  mutant = data;
}

/** @type {import('node:module').LoadHook} */
export async function load(url, context, next) {
  const loaded = await next(url, context);
  if (!url.endsWith(mutant.file)) return loaded;
  const { source } = loaded;
  let text = typeof source === 'string' ? source : new TextDecoder().decode(/** @type {ArrayBuffer} */ (source));
  for (const [find, put] of mutant.edits) {
    if (text.split(find).length !== 2) throw new Error(`${mutant.file} holds not exactly one "${find}"`);
    text = text.replace(find, put);
  }
  return { ...loaded, source: text };
}
