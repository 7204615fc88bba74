import { describe, expect, it } from 'vitest';
import { typedName } from './typed.js';

describe('typedName', () => {
  it.each([
    ['addresses[0]', '10.9.9.9 is in no subnet of network web', '--ip'],
    ['addresses[1]', 'fd00::1 is in no subnet of network web', '--ip6'],
    ['attachments[0].addresses[0]', '10.9.9.999 is no IP address', '--ip'],
    ['attachments[0].network', 'is empty', 'attachments[0].network'],
    ['options["mtu"]', '"99999" is no MTU', '-o mtu'],
    ['subnets[1].cidr', 'overlaps', '--subnet'],
    ['subnets[0].aux_addresses["printer"]', '10.1.0.1 is the gateway', '--aux-address'],
    ['aliases[2]', '"api" is given twice', '--alias'],
    ['driver', 'there is no driver "x"', '-d'],
    ['min_revision', 'is negative', 'min_revision'],
  ])('%s, because %s, was typed as %s', (field, description, typed) => {
    expect(typedName({ field, description })).toBe(typed);
  });
});
