/** What is still there on hosts and in etcd once every network and sandbox was removed. Should be nothing. */
import type { LabHost } from './lab-host.js';

/** Links that a host has from the lab itself. */
const OWN_LINKS: readonly string[] = ['lo', 'eth0'];

/** Keys that a cluster without networks has: of itself, of its hosts, and one that is only ever rewritten (spaces). */
const OWN_KEYS = /^\/weft\/v1\/(o\/(meta$|hosts\/)|g\/(names\/host|numbers\/host|vteps|spaces)\/)/;

/** Named namespaces, links and programs on a host that neither the lab nor its agent accounts for: `h1: link vxlan0`. */
export async function leftoversOnHost(host: LabHost): Promise<string[]> {
  const links = (await host.links()).filter((name) => !OWN_LINKS.includes(name));
  const agent = host.agent.process?.identity.pid;
  const programs = host.programs().filter(({ pid }) => pid !== agent);
  return [
    ...host.namespaces().map((name) => `${host.name}: namespace ${name}`),
    ...links.map((name) => `${host.name}: link ${name}`),
    ...programs.map(({ pid, argv }) => `${host.name}: process ${String(pid)} ${argv.join(' ')}`),
  ];
}

/** Of all keys in etcd those that are not the cluster's own: `etcd: /weft/v1/o/networks/...`. Pure. */
export function leftoversInEtcd(keys: readonly string[]): string[] {
  return keys.filter((key) => !OWN_KEYS.test(key)).map((key) => `etcd: ${key}`);
}
