export interface YamlBlock {
  text: string;
  /** How many lines of the file come before it. */
  line: number;
}

/** The blocks of a page that are scenarios: those fenced with ```` ```yaml scenario ````. */
export function yamlBlocks(page: string): YamlBlock[] {
  const blocks: YamlBlock[] = [];
  const lines = page.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const fence = /^(`{3,})yaml scenario\s*$/.exec(lines[i]!);
    if (fence === null) continue;
    const end = lines.indexOf(fence[1]!, i + 1);
    const upTo = end < 0 ? lines.length : end;
    blocks.push({ text: lines.slice(i + 1, upTo).join('\n'), line: i + 1 });
    i = upTo;
  }
  return blocks;
}
