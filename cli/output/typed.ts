/** A request's fields under the names that people typed: they know --ip, and nothing of addresses[0]. */
import type { Violation } from '../../core/errors.js';

const OPTIONS: readonly (readonly [field: RegExp, typed: string])[] = [
  [/^name$/, 'NAME'],
  [/^driver$/, '-d'],
  [/^options\["([^"]*)"\]$/, '-o $1'],
  [/^subnets\[\d+\]\.cidr$/, '--subnet'],
  [/^subnets\[\d+\]\.gateway$/, '--gateway'],
  [/^subnets\[\d+\]\.ip_range$/, '--ip-range'],
  [/^subnets\[\d+\]\.aux_addresses.*$/, '--aux-address'],
  [/^mac$/, '--mac'],
  [/^aliases\[\d+\]$/, '--alias'],
  [/^labels.*$/, '--label'],
  [/^filters\[\d+\]$/, '--filter'],
];

/** The option or argument that became the field; the field itself, where it is none of them. Pure. */
export function typedName(violation: Violation): string {
  const { description } = violation;
  // A sandbox's attachments have the fields of an endpoint.
  const field = violation.field.replace(/^attachments?(?:\[\d+\])?\./, '');
  // Both --ip and --ip6 become addresses; the refusal begins with the one it is about.
  if (/^addresses\[\d+\]$/.test(field)) return /^\S*:/.test(description) ? '--ip6' : '--ip';
  const [pattern, typed] = OPTIONS.find(([candidate]) => candidate.test(field)) ?? [];
  return pattern === undefined || typed === undefined ? violation.field : field.replace(pattern, typed);
}
