const PAGE = 8192;
/** More than this would waste too much of a page. */
export const PAGE_FRAG_MAX = 1024;

let page = new Uint8Array(0);
let used = 0;

/**
 * `n` zero bytes of a page that many share (page_frag_alloc): a view is much cheaper than an ArrayBuffer of its own. The
 * page lives as long as the longest-lived view of it, so this is for what is small and soon gone.
 */
export function pageFrag(n: number): Uint8Array {
  if (n > PAGE_FRAG_MAX) return new Uint8Array(n);
  if (used + n > page.length) {
    page = new Uint8Array(PAGE);
    used = 0;
  }
  const frag = page.subarray(used, used + n);
  used += (n + 7) & ~7;
  return frag;
}
