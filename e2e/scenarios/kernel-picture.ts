/** What a host's kernel holds of Weft, as text to compare: of one that was brought back, nothing may differ. */
import type { NamespaceHost } from '../lab/namespace-host.js';

const LOOKS: readonly (readonly string[])[] = [
  ['ip', '-o', 'link', 'show'],
  ['ip', '-o', 'addr', 'show'],
  ['ip', 'neigh', 'show', 'nud', 'permanent'],
  ['ip', '-4', 'route', 'show', 'table', 'all'],
  ['ip', '-6', 'route', 'show', 'table', 'all'],
  ['bridge', 'fdb', 'show'],
  ['nft', 'list', 'ruleset'],
];

/** One line for each namespace, link, address, neighbour, route, forwarding entry and rule: `weft-s-a: 2: eth0@if4: ...`. */
export async function kernelPicture(host: NamespaceHost): Promise<readonly string[]> {
  const inside = LOOKS.map(async (argv) => linesByNamespace(await host.must(['ip', '-all', 'netns', 'exec', ...argv])));
  const links = (await host.links()).map((name) => `host: ${name}`);
  const namespaces = host.namespaces().map((name) => `namespace ${name}`);
  return [...namespaces, ...links, ...(await Promise.all(inside)).flat()].sort();
}

/** Reads what `ip -all netns exec` prints: each namespace's part stands below a line `netns: NAME`. */
function linesByNamespace(text: string): string[] {
  const lines: string[] = [];
  let namespace = '';
  // nft puts the elements of a map on one line, in any order.
  for (const line of text.split(/\n|,/).map((each) => each.replace(/^\s*elements = \{|\}$/g, '').trim())) {
    if (line.startsWith('netns: ')) namespace = line.slice('netns: '.length);
    else if (line !== '') lines.push(`${namespace}: ${line}`);
  }
  return lines;
}
