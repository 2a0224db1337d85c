/** What docker compose says, made a line for each step that is done. */
export interface Progress {
  take(chunk: string): void;
  /** Why it failed, as far as it has said. */
  complaint(): string;
}

/** Of a build only the steps that take time; of containers where they have come to. */
const BUILD_STEP = /^#\d+ \[(?:[\w-]+ )?(?:build|runtime|\w+) +\d+\/\d+\] (RUN .{1,60})/;
const DONE = /^ ?(?:Container|Network|Volume) (\S+) +(Created|Started|Healthy|Exited|Removed|Stopped)$/;
const WORD: Record<string, string> = {
  Started: 'started',
  Healthy: 'healthy',
  Exited: 'done',
  Removed: 'removed',
};

export function progressOf(project: string, say: (line: string) => void): Progress {
  const said = new Set<string>();
  let tail: string[] = [];
  let rest = '';
  const once = (line: string): void => {
    if (said.has(line)) return;
    said.add(line);
    say(line);
  };
  const line = (text: string): void => {
    const done = DONE.exec(text.trimEnd());
    const step = BUILD_STEP.exec(text)?.[1];
    if (done !== null) {
      const [, name = '', state = ''] = done;
      const short = name.replace(`${project}-`, '').replace(`${project}_`, '').replace(/-1$/, '');
      // Networks and volumes come and go with the containers: a line for each would hide them.
      if (text.includes('Container') && WORD[state] !== undefined) once(`${short} ${WORD[state]}`);
    } else if (step !== undefined) once(`image: ${step.split(' && ')[0]}`);
    else if (text.trim() !== '' && !/^#\d+ |^ ?(Container|Network|Volume|Image) /.test(text))
      tail = [...tail.slice(-20), text];
  };
  return {
    take: (chunk) => {
      const lines = (rest + chunk).split(/\r?\n/);
      rest = lines.pop()!;
      for (const l of lines) line(l);
    },
    complaint: () => {
      if (rest !== '') line(rest);
      rest = '';
      const worst = tail.findLast((l) => /error|failed|unhealthy|denied|invalid|cannot/i.test(l)) ?? tail.at(-1) ?? '';
      return worst.trim().replace(/^Error response from daemon: /, '');
    },
  };
}
