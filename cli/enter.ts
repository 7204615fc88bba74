/** How a program gets into a sandbox: through `weft-agent enter`, which becomes it there. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Sandbox } from '../proto/gen/weft/v1/sandbox.js';

/** The argv that becomes `command` inside the sandbox, with the sandbox's own resolv.conf and hosts. Pure. */
export function enterArgv(
  launcher: string,
  sandbox: Sandbox,
  command: readonly string[],
): readonly [string, ...string[]] {
  const binds = [
    [sandbox.resolvConfPath, '/etc/resolv.conf'],
    [sandbox.hostsPath, '/etc/hosts'],
  ].filter(([source]) => source !== '');
  return [
    launcher,
    'enter',
    '--netns',
    sandbox.netns,
    ...binds.flatMap((bind) => ['--bind', bind.join(':')]),
    '--',
    ...command,
  ];
}

/** bin/weft-agent of this installation: this file lies one folder deeper when compiled. */
export function agentLauncher(): string {
  const here = path.dirname(fileURLToPath(import.meta.url));
  const candidates = ['../../bin/weft-agent', '../bin/weft-agent'].map((relative) => path.resolve(here, relative));
  return candidates.find((candidate) => existsSync(candidate)) ?? 'weft-agent';
}
